//! The invariants of ARCHITECTURE.md and the faults of docs/reliability.md: each names a test, a fuzz target or a wall, and what it
//! names exists.

use anyhow::{Result, ensure};

use super::{WALLS, sources};

const MARK: &str = "- **Invariant:**";
const INVARIANTS: &str = "ARCHITECTURE.md";
const FAULTS: &str = "docs/reliability.md";

pub(super) fn held() -> Result<Vec<String>> {
    let text = sources::read(INVARIANTS)?;
    let invariants = holders(&text);
    ensure!(invariants.len() >= text.matches(MARK).count(), "{INVARIANTS}: an invariant names nothing that holds it");
    let faults = shown_by(&sources::read(FAULTS)?);
    ensure!(!faults.is_empty() && faults.iter().all(|names| !names.is_empty()), "{FAULTS}: a fault names no test");
    let mut names: Vec<_> = invariants.into_iter().map(|name| (INVARIANTS, name)).collect();
    names.extend(faults.into_iter().flatten().map(|name| (FAULTS, name)));
    names.retain(|(_, name)| !WALLS.iter().any(|wall| wall.name == name));
    sources::each_source(|path, source| {
        names.retain(|(_, name)| {
            let is_target = path.ends_with(format!("fuzz/fuzz_targets/{name}.rs"));
            !is_target && !source.contains(&format!("fn {name}("))
        });
        Vec::new()
    })?;
    Ok(names
        .iter()
        .map(|(document, name)| format!("{document}: there is no test, fuzz target or wall {name}"))
        .collect())
}

/// What is in backticks in the last column of each row of a table, the heads of tables left out.
fn shown_by(text: &str) -> Vec<Vec<String>> {
    let rows = text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| fault "));
    let cells = rows.filter_map(|row| row.trim_end_matches([' ', '|']).rsplit_once('|'));
    cells.map(|(_, names)| names.split('`').skip(1).step_by(2).map(str::to_owned).collect()).collect()
}

/// What is in backticks within the parentheses at the end of each invariant.
fn holders(text: &str) -> Vec<String> {
    let items = text.split(MARK).skip(1);
    let ends = items.filter_map(|item| {
        let item = item.split("\n\n").next()?.trim_end();
        item.strip_suffix(')')?.rsplit_once('(')
    });
    ends.flat_map(|(_, names)| names.split('`').skip(1).step_by(2)).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holders_are_the_names_at_the_end() {
        let text = "- **Invariant:** `a` is b (c).\n  (`d`,\n  `e`)\n- **Invariant:** f. (`g`)\n\n## `h` (`i`)\n";
        assert_eq!(holders(text), ["d", "e", "g"]);
    }

    #[test]
    fn what_shows_a_fault_is_in_the_last_column() {
        let text = "Words `a`.\n\n| fault | what | shown by |\n|---|---|---|\n| `b` | c | `d`, fuzz target `e` |\n| f | `g` | h |\n";
        assert_eq!(shown_by(text), [vec!["d".to_owned(), "e".to_owned()], vec![]]);
    }

    #[test]
    fn an_invariant_without_a_holder_has_none() {
        assert!(holders("- **Invariant:** `a` is b.\n").is_empty());
    }
}
