//! The term in which this device is active, in a file: a process after this one that gets the next one knows that nobody was active in between,
//! and that what its plane has kept is right.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;

use opof_session::ha::Term;
use opof_session::ha::term::Role;
use tokio::sync::watch;

use crate::driver::pair::PairState;
use crate::error::StartError;

/// The file.
#[derive(Debug)]
pub(super) struct TermFile {
    path: PathBuf,
}

impl TermFile {
    pub(super) const fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// The term that was written last. A file that has none in it is taken for none.
    pub(super) fn read(&self) -> Result<Option<Term>, StartError> {
        match fs::read_to_string(&self.path) {
            Ok(text) => {
                let term = text.trim().parse().ok().and_then(Term::new);
                if term.is_none() {
                    tracing::warn!(path = %self.path.display(), "there is no term in this file; what the data plane has kept is closed");
                }
                Ok(term)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(StartError::System { what: "reading the term of the pair", source }),
        }
    }

    /// Writes each term in which the device is active.
    pub(super) async fn keep(self, mut state: watch::Receiver<PairState>) {
        let mut written = None;
        loop {
            let PairState { role, term, .. } = *state.borrow_and_update();
            if role == Role::Active && written != Some(term) {
                match self.write(term) {
                    Ok(()) => written = Some(term),
                    Err(error) => {
                        tracing::error!(path = %self.path.display(), %error, "the term of the pair can't be kept: sessions will not outlive this process");
                    }
                }
            }
            if state.changed().await.is_err() {
                return;
            }
        }
    }

    fn write(&self, term: Term) -> io::Result<()> {
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        let new = self.path.with_extension("new");
        let mut file = File::create(&new)?;
        writeln!(file, "{term}")?;
        file.sync_all()?;
        fs::rename(new, &self.path)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "in a test a panic is the way to fail")]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_term_of_an_active_is_kept_and_none_of_a_standby() {
        let folder = tempfile::tempdir().unwrap();
        let file = || TermFile::new(folder.path().join("state/a.term"));
        assert_eq!(file().read().unwrap(), None);
        let (shown, state) = watch::channel(PairState { term: Term(3), ..PairState::default() });
        let keeping = tokio::spawn(file().keep(state));
        shown.send_replace(PairState { role: Role::Active, term: Term(4), ..PairState::default() });
        while file().read().unwrap() != Some(Term(4)) {
            tokio::task::yield_now().await;
        }
        shown.send_replace(PairState { role: Role::Standby, term: Term(5), ..PairState::default() });
        drop(shown);
        keeping.await.unwrap();
        assert_eq!(file().read().unwrap(), Some(Term(4)));
    }

    #[test]
    fn a_file_without_a_term_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.term");
        for text in ["seven", "", "-1", "8388609"] {
            fs::write(&path, text).unwrap();
            assert_eq!(TermFile::new(path.clone()).read().unwrap(), None, "{text}");
        }
    }
}
