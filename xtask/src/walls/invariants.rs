//! The invariants of ARCHITECTURE.md: each names a test or a wall, and what it names exists.

use anyhow::{Result, ensure};

use super::{WALLS, sources};

const MARK: &str = "- **Invariant:**";

pub(super) fn held() -> Result<Vec<String>> {
    let text = sources::read("ARCHITECTURE.md")?;
    let mut names = holders(&text);
    ensure!(names.len() >= text.matches(MARK).count(), "ARCHITECTURE.md: an invariant names nothing that holds it");
    names.retain(|name| !WALLS.iter().any(|wall| wall.name == name));
    sources::each_source(|_, source| {
        names.retain(|name| !source.contains(&format!("fn {name}(")));
        Vec::new()
    })?;
    Ok(names.iter().map(|name| format!("ARCHITECTURE.md: there is no test or wall {name}")).collect())
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
    fn an_invariant_without_a_holder_has_none() {
        assert!(holders("- **Invariant:** `a` is b.\n").is_empty());
    }
}
