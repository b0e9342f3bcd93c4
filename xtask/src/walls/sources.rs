//! Walls that show in the sources and manifests.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::shell;

/// The one crate that may have it, for system calls and shared memory.
const UNSAFE_CRATE: &str = "crates/dataplane-linux";
/// Who may read a clock or sleep: the daemon's clock, and the waits of the test code.
const CLOCKS: &[&str] = &["crates/daemon/src/clock.rs", "crates/testkit/src/wait.rs"];
/// What clippy.toml must ban.
const BANNED: &[&str] = &["std::time::Instant::now", "std::time::SystemTime::now", "std::thread::sleep"];
const LINES_MAX: usize = 600;

pub(super) fn unsafe_code() -> Result<Vec<String>> {
    let mut found = each_source(|path, text| {
        let inside = path.starts_with(UNSAFE_CRATE);
        if inside { Vec::new() } else { numbered(path, text, has_unsafe) }
    })?;
    let root = read("Cargo.toml")?;
    if !root.lines().any(|line| line.trim() == "unsafe_code = \"forbid\"") {
        found.push("Cargo.toml: the workspace does not forbid unsafe_code".to_owned());
    }
    Ok(found)
}

pub(super) fn manifests() -> Result<Vec<String>> {
    let mut found = Vec::new();
    for directory in packages()? {
        let manifest = directory.join("Cargo.toml");
        let text = read(&manifest.to_string_lossy())?;
        found.extend(lints_missing(&directory, &text).map(|what| format!("{}: {what}", manifest.display())));
    }
    Ok(found)
}

pub(super) fn clock() -> Result<Vec<String>> {
    let config = read("clippy.toml")?;
    let unbanned = BANNED.iter().filter(|name| !config.contains(&format!("\"{name}\"")));
    let mut found: Vec<String> = unbanned.map(|name| format!("clippy.toml: {name} is not banned")).collect();
    found.extend(each_source(|path, text| {
        let allowed = CLOCKS.iter().any(|clock| path == Path::new(clock));
        if allowed { Vec::new() } else { numbered(path, text, lifts_ban) }
    })?);
    Ok(found)
}

pub(super) fn size() -> Result<Vec<String>> {
    each_source(|path, text| {
        let lines = text.lines().count();
        if lines > LINES_MAX { vec![format!("{}: {lines} lines", path.display())] } else { Vec::new() }
    })
}

/// True when the line has the keyword where code would have it. Comments don't count, nor words within text.
fn has_unsafe(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    ["unsafe {", "unsafe fn", "unsafe impl", "unsafe trait", "unsafe extern", "unsafe("].iter().any(|form| {
        let before = code.find(form).map(|at| &code[..at]);
        before.is_some_and(|before| !before.ends_with(|c: char| c.is_alphanumeric() || "_\"`".contains(c)))
    })
}

fn lifts_ban(line: &str) -> bool {
    // In two pieces, so that this file does not trip its own wall.
    let name = concat!("clippy::disallowed", "_methods");
    line.split("//").next().unwrap_or_default().contains(name)
}

/// What is wrong with a manifest's lints.
fn lints_missing(directory: &Path, manifest: &str) -> Option<&'static str> {
    let takes_ours = manifest.split("[lints]").nth(1).is_some_and(|rest| {
        rest.lines().map(str::trim).take_while(|line| !line.starts_with('[')).any(|line| line == "workspace = true")
    });
    let has_own = manifest.contains("[lints.");
    match directory.starts_with(UNSAFE_CRATE) {
        true if takes_ours || has_own => None,
        true => Some("neither the workspace's lints nor its own"),
        false if has_own => Some("lints of its own"),
        false if !takes_ours => Some("the workspace's lints are missing"),
        false => None,
    }
}

fn numbered(path: &Path, text: &str, wrong: impl Fn(&str) -> bool) -> Vec<String> {
    let lines = text.lines().enumerate().filter(|(_, line)| wrong(line));
    lines.map(|(number, line)| format!("{}:{}: {}", path.display(), number + 1, line.trim())).collect()
}

/// `check` over every source file of ours, with its path from the root.
pub(super) fn each_source(mut check: impl FnMut(&Path, &str) -> Vec<String>) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for directory in packages()?.into_iter().chain(["fuzz".into(), "bpf".into()]) {
        for path in sources(&shell::root().join(&directory))? {
            let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
            let path = path.strip_prefix(shell::root()).unwrap_or(&path);
            found.extend(check(path, &text));
        }
    }
    Ok(found)
}

/// The directories of the workspace's packages, from the root.
fn packages() -> Result<Vec<PathBuf>> {
    let crates = shell::root().join("crates");
    let entries = fs::read_dir(&crates).with_context(|| format!("read {}", crates.display()))?;
    let mut packages: Vec<PathBuf> =
        entries.flatten().map(|entry| Path::new("crates").join(entry.file_name())).collect();
    packages.extend(["xtask".into(), "tests".into()]);
    packages.retain(|directory| shell::root().join(directory).join("Cargo.toml").is_file());
    packages.sort();
    Ok(packages)
}

/// Rust, C and headers below `directory`, what a build made left out.
fn sources(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let entries = fs::read_dir(directory).with_context(|| format!("read {}", directory.display()))?;
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            if !path.file_name().is_some_and(|name| name == "target" || name == "node_modules" || name == ".venv") {
                found.extend(sources(&path)?);
            }
        } else if path.extension().is_some_and(|extension| ["rs", "c", "h"].iter().any(|ours| extension == *ours)) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

pub(super) fn read(path: &str) -> Result<String> {
    fs::read_to_string(shell::root().join(path)).with_context(|| format!("read {path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsafe_code_is_told_from_the_word() {
        // Put together here, so that this file does not trip its own wall.
        let keyword = ["un", "safe"].concat();
        for code in ["{ x() }", "fn x() {}", "impl Send for X {}", "extern \"C\" {}"] {
            assert!(has_unsafe(&format!("    {keyword} {code}")), "{code}");
        }
        for text in [format!("// {keyword} {{"), format!("{keyword}_code = 1"), format!("an_{keyword} {{")] {
            assert!(!has_unsafe(&text), "{text}");
        }
    }

    #[test]
    fn a_lifted_ban_is_found() {
        let lint = ["clippy::disallowed", "methods"].join("_");
        assert!(lifts_ban(&format!("#[allow({lint})]")));
        assert!(lifts_ban(&format!("#![expect({lint}, reason = \"because\")]")));
        assert!(!lifts_ban(&format!("// {lint}")));
    }

    #[test]
    fn a_manifest_without_our_lints_is_found() {
        let (ours, theirs) = (Path::new("crates/session"), Path::new(UNSAFE_CRATE));
        assert_eq!(lints_missing(ours, "[package]\n[lints]\nworkspace = true\n"), None);
        assert!(lints_missing(ours, "[package]\n[dependencies]\nx.workspace = true\n").is_some());
        assert!(lints_missing(ours, "[lints]\n[dependencies]\nworkspace = true\n").is_some());
        assert!(lints_missing(ours, "[lints.rust]\nunsafe_code = \"allow\"\n").is_some());
        assert_eq!(lints_missing(theirs, "[lints.rust]\nunsafe_code = \"allow\"\n"), None);
        assert!(lints_missing(theirs, "[package]\n").is_some());
    }
}
