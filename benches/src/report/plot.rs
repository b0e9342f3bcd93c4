//! A figure as SVG: for each case a group of bars, one a subject, with the spread of its rounds.

use anyhow::Result;
use plotters::prelude::*;

use super::Figure;
use super::text::number;

const WIDTH: u32 = 860;
/// Of one bar, with what is beside it.
const BAR: u32 = 22;
/// Around all bars: title, axis, legend.
const AROUND: u32 = 110;
/// For the names of the cases.
const NAMES: u32 = 250;

/// Horizontal bars from the first case at the top.
pub(super) fn svg(figure: &Figure) -> Result<String> {
    let subjects = figure.subjects.len();
    let rows = figure.cases.len() * (subjects + 1);
    let height = AROUND + BAR * u32::try_from(rows).unwrap_or(u32::MAX / BAR / 2);
    let most = figure.cases.iter().flat_map(|case| &case.values).map(|samples| samples.range().1);
    let most = most.filter(|value| value.is_finite()).fold(0.0, f64::max);
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, (WIDTH, height)).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .caption(format!("{}, {}", figure.title, figure.unit), ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(30)
            .y_label_area_size(NAMES)
            .build_cartesian_2d(0.0..most.max(f64::MIN_POSITIVE) * 1.15, 0.0..f64::from(u32::try_from(rows)?))?;
        chart.configure_mesh().disable_y_mesh().disable_y_axis().x_label_formatter(&|value| number(*value)).draw()?;
        for subject in 0..subjects {
            let color = Palette99::pick(subject).to_rgba();
            let top =
                |case: usize| f64::from(u32::try_from(rows - case * (subjects + 1) - subject).unwrap_or_default());
            let measured = || figure.cases.iter().enumerate().filter(|(_, case)| !case.values[subject].0.is_empty());
            chart
                .draw_series(measured().map(|(index, case)| {
                    let value = case.values[subject].median();
                    Rectangle::new([(0.0, top(index) - 0.9), (value, top(index) - 0.1)], color.filled())
                }))?
                .label(figure.subjects[subject].as_str())
                .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 12, y + 5)], color.filled()));
            chart.draw_series(measured().map(|(index, case)| {
                let (least, most) = case.values[subject].range();
                PathElement::new([(least, top(index) - 0.5), (most, top(index) - 0.5)], BLACK)
            }))?;
            chart.draw_series(measured().map(|(index, case)| {
                let (_, most) = case.values[subject].range();
                let at = (most + most * 0.01, top(index) - 0.2);
                Text::new(number(case.values[subject].median()), at, ("sans-serif", 12))
            }))?;
        }
        let style = ("sans-serif", 13).into_text_style(&area);
        for (index, case) in figure.cases.iter().enumerate() {
            let row = u32::try_from(index * (subjects + 1))?;
            let y = 48 + row * (height - AROUND) / u32::try_from(rows.max(1))?;
            area.draw_text(&case.name, &style, (14, i32::try_from(y)?))?;
        }
        chart.configure_series_labels().background_style(WHITE.mix(0.8)).border_style(BLACK).draw()?;
        area.present()?;
    }
    Ok(text)
}
