//! The BPF objects: built by Debian's clang 19, committed, and rebuilt in CI to see that nothing has drifted.
//!
//! The build is reproducible: the same sources give the same bytes in whatever directory they lie.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, io};

use crate::shell;

/// The compiler whose output is committed.
const CLANG: &str = "clang-19";
/// Takes out DWARF, leaves BTF.
const STRIP: &str = "llvm-strip-19";
/// What is built from what, from the root of the workspace: the fast path, pieces of it alone, what drives it while it is measured, its
/// clock, what surrounds it, and the lab's VLAN.
const OBJECTS: &[Object] = &[
    Object { source: "bpf/session.bpf.c", object: "bpf/session.bpf.o" },
    Object { source: "bpf/probes.bpf.c", object: "bpf/probes.bpf.o" },
    Object { source: "bpf/bench.bpf.c", object: "bpf/bench.bpf.o" },
    Object { source: "bpf/clock.bpf.c", object: "bpf/clock.bpf.o" },
    Object { source: "bpf/traffic.bpf.c", object: "bpf/traffic.bpf.o" },
    Object { source: "crates/testkit/bpf/lab_vlan.bpf.c", object: "crates/testkit/bpf/lab_vlan.bpf.o" },
];

struct Object {
    source: &'static str,
    object: &'static str,
}

/// Why the object could not be built, or is not the committed one.
#[derive(Debug)]
pub(crate) enum BpfError {
    /// A tool is missing or can't be started.
    Tool { tool: &'static str, source: io::Error },
    /// A tool ran and failed.
    Failed { tool: &'static str, output: String },
    /// A file could not be read or written.
    File { path: PathBuf, source: io::Error },
    /// The committed object is not what its sources make.
    Differs { object: &'static str, built: usize, committed: usize },
}

impl fmt::Display for BpfError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tool { tool, source } => {
                write!(f, "{tool}: {source}; install it: apt-get install clang-19 llvm-19 libbpf-dev")
            }
            Self::Failed { tool, output } => write!(f, "{tool} failed:\n{output}"),
            Self::File { path, source } => write!(f, "{}: {source}", path.display()),
            Self::Differs { object, built, committed } => write!(
                f,
                "{object} ({committed} bytes) is not what its source makes ({built} bytes): run `cargo xtask bpf` and commit it"
            ),
        }
    }
}

impl std::error::Error for BpfError {}

/// Builds the objects and puts them where they are committed.
pub(crate) fn build() -> Result<(), BpfError> {
    OBJECTS.iter().try_for_each(|object| compile(object, &shell::root().join(object.object)))
}

/// Builds the objects elsewhere and compares them with the committed ones.
pub(crate) fn check() -> Result<(), BpfError> {
    OBJECTS.iter().try_for_each(check_one)
}

fn check_one(object: &Object) -> Result<(), BpfError> {
    let path = std::env::temp_dir().join(format!("opof-bpf-{}.o", std::process::id()));
    let built = compile(object, &path).and_then(|()| read(&path));
    // The comparison counts; a file that stays behind in the temporary directory harms nobody.
    let _ = fs::remove_file(&path);
    let (built, committed) = (built?, read(&shell::root().join(object.object))?);
    if built == committed {
        println!("{}: as its source makes it", object.object);
        Ok(())
    } else {
        Err(BpfError::Differs { object: object.object, built: built.len(), committed: committed.len() })
    }
}

fn compile(object: &Object, output: &Path) -> Result<(), BpfError> {
    let root = shell::root();
    let prefix = format!("-ffile-prefix-map={}=.", root.display());
    // The kernel's <asm/types.h> is in the directory of the host's architecture, which -target bpf does not search.
    let include = format!("-I/usr/include/{}-linux-gnu", std::env::consts::ARCH);
    let mut clang = Command::new(CLANG);
    clang.current_dir(&root).args(["-O2", "-g", "-target", "bpf", "-mcpu=v3", "-Wall", "-Wextra", "-Werror"]);
    clang.args([prefix.as_str(), include.as_str(), "-c", object.source, "-o"]).arg(output);
    run(CLANG, &mut clang)?;
    run(STRIP, Command::new(STRIP).args([OsStr::new("-g"), output.as_os_str()]))
}

fn run(tool: &'static str, command: &mut Command) -> Result<(), BpfError> {
    let output = command.output().map_err(|source| BpfError::Tool { tool, source })?;
    if output.status.success() {
        Ok(())
    } else {
        Err(BpfError::Failed { tool, output: String::from_utf8_lossy(&output.stderr).into_owned() })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, BpfError> {
    fs::read(path).map_err(|source| BpfError::File { path: path.to_owned(), source })
}
