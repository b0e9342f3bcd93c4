//! Walls that show in the dependency tree.

use anyhow::Result;

use crate::shell;

/// Who must not be in a crate that knows no operating system and no wire protocol of ours.
const OUTSIDE: &[&str] = &[
    "tokio",
    "tonic",
    "prost",
    "hyper",
    "h2",
    "tower",
    "libc",
    "rustix",
    "nix",
    "aya",
    "mio",
    "socket2",
    "async-std",
    "smol",
    "chrono",
    "time",
    "opof-api",
];
/// Protobuf and gRPC.
const PROTOBUF: &[&str] = &["prost", "prost-types", "tonic", "tonic-prost", "protobuf", "opof-api"];
/// Which crates of ours each may depend on, in any number of steps.
const DIRECTION: &[(&str, &[&str])] = &[
    ("opof-wire", &[]),
    ("opof-session", &["opof-wire"]),
    ("opof-dataplane", &["opof-session", "opof-wire"]),
    ("opof-dataplane-linux", &["opof-dataplane", "opof-session", "opof-wire"]),
    ("opof-api", &["opof-session", "opof-wire"]),
    ("opof-client", &["opof-api", "opof-session", "opof-wire"]),
    ("opof-conformance", &["opof-api", "opof-session", "opof-wire"]),
    ("opof-cli", &["opof-client", "opof-conformance", "opof-api", "opof-session", "opof-wire"]),
    ("opof-daemon", &["opof-api", "opof-dataplane-linux", "opof-dataplane", "opof-session", "opof-wire"]),
    (
        "opof-sim",
        &[
            "opof-daemon",
            "opof-api",
            "opof-dataplane-linux",
            "opof-dataplane",
            "opof-session",
            "opof-testkit",
            "opof-wire",
        ],
    ),
    ("opof-testkit", &["opof-wire"]),
    ("xtask", &["opof-testkit", "opof-wire"]),
];

pub(super) fn sans_io() -> Result<Vec<String>> {
    each(&["opof-wire", "opof-session", "opof-dataplane"], |package, tree| forbidden(package, tree, OUTSIDE))
}

pub(super) fn wire_alone() -> Result<Vec<String>> {
    each(&["opof-wire"], |package, tree| beyond(package, tree, |_| false))
}

pub(super) fn protobuf() -> Result<Vec<String>> {
    let inside = ["opof-wire", "opof-session", "opof-dataplane", "opof-dataplane-linux", "opof-testkit", "xtask"];
    each(&inside, |package, tree| forbidden(package, tree, PROTOBUF))
}

pub(super) fn direction() -> Result<Vec<String>> {
    let mut found = Vec::new();
    for (package, allowed) in DIRECTION {
        found.extend(beyond(package, &tree(package)?, |name| !is_ours(name) || allowed.contains(&name)));
    }
    Ok(found)
}

fn is_ours(name: &str) -> bool {
    name.starts_with("opof-") || name == "xtask"
}

fn each(packages: &[&str], check: impl Fn(&str, &str) -> Vec<String>) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for package in packages {
        found.extend(check(package, &tree(package)?));
    }
    Ok(found)
}

/// What `package` is built from, one name and version a line, build and development dependencies not included.
fn tree(package: &str) -> Result<String> {
    let words =
        ["tree", "--quiet", "--locked", "--edges", "normal,no-proc-macro", "--target", "all", "--prefix", "none"];
    shell::output(shell::cargo().args(words).args(["--package", package]))
}

fn forbidden(package: &str, tree: &str, names: &[&str]) -> Vec<String> {
    beyond(package, tree, |name| !names.contains(&name))
}

/// The lines of `tree` but the first, which is `package` itself, that are not allowed.
fn beyond(package: &str, tree: &str, allowed: impl Fn(&str) -> bool) -> Vec<String> {
    let names = tree.lines().filter_map(|line| line.split_whitespace().next());
    let mut found: Vec<String> = names
        .filter(|name| *name != package && !allowed(name))
        .map(|name| format!("{package} depends on {name}"))
        .collect();
    found.sort();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLEAN: &str = "opof-session v0.1.0 (/somewhere)\nfoldhash v0.2.0\nopof-wire v0.1.0 (/somewhere)\n";

    #[test]
    fn a_clean_tree_passes() {
        assert_eq!(forbidden("opof-session", CLEAN, OUTSIDE), Vec::<String>::new());
    }

    #[test]
    fn tokio_in_session_is_found() {
        for (line, name) in [("tokio v1.54.0", "tokio"), ("libc v0.2.1 (*)", "libc"), ("nix v0.31.3", "nix")] {
            let tree = format!("{CLEAN}{line}\n{line}\n");
            assert_eq!(forbidden("opof-session", &tree, OUTSIDE), [format!("opof-session depends on {name}")]);
        }
    }

    #[test]
    fn a_name_that_only_begins_so_is_another_crate() {
        assert_eq!(forbidden("opof-session", &format!("{CLEAN}timeless v1.0.0\n"), OUTSIDE), Vec::<String>::new());
    }

    #[test]
    fn anything_in_wire_is_found() {
        let tree = "opof-wire v0.1.0 (/somewhere)\nbitflags v2.0.0\n";
        assert_eq!(beyond("opof-wire", tree, |_| false), ["opof-wire depends on bitflags"]);
    }

    #[test]
    fn the_tree_of_a_real_crate_starts_with_itself() {
        assert!(tree("opof-wire").unwrap().starts_with("opof-wire v"));
    }
}
