//! Certificates that will do, and each way in which one won't.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime};

use super::*;

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

const NOW: u64 = 1_800_000_000;
const DAY: u64 = 86_400;

#[test]
fn a_self_signed_certificate_is_made_once_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("a/b");
    let first = SelfSigned::in_folder(&folder, at(NOW)).unwrap();
    assert!(first.is_new);
    assert_eq!(fs::metadata(&first.key).unwrap().permissions().mode() & 0o777, 0o600);
    let made = fs::read(&first.cert).unwrap();
    let again = SelfSigned::in_folder(&folder, at(NOW + DAY)).unwrap();
    assert!(!again.is_new);
    assert_eq!(fs::read(&again.cert).unwrap(), made);
    Files::pair(&first.cert, &first.key).material(at(NOW)).unwrap();
}

#[test]
fn a_self_signed_certificate_is_made_anew_when_it_nears_its_end_or_is_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let first = SelfSigned::in_folder(folder.path(), at(NOW)).unwrap();
    let life = limits::SELF_SIGNED_LIFE.as_secs();
    assert!(SelfSigned::in_folder(folder.path(), at(NOW + life - DAY)).unwrap().is_new);
    fs::write(&first.key, "nothing").unwrap();
    assert!(SelfSigned::in_folder(folder.path(), at(NOW + life - DAY)).unwrap().is_new);
    assert!(!SelfSigned::in_folder(folder.path(), at(NOW + life - DAY)).unwrap().is_new);
}

#[test]
fn a_folder_that_can_not_be_made_is_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = SelfSigned::in_folder(&file.path().join("x"), at(NOW)).unwrap_err().to_string();
    assert!(error.contains("XDG_STATE_HOME") && !error.contains('\n'), "{error}");
}

#[test]
fn each_fault_of_a_pair_is_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let one = SelfSigned::in_folder(&folder.path().join("one"), at(NOW)).unwrap();
    let two = SelfSigned::in_folder(&folder.path().join("two"), at(NOW)).unwrap();
    let empty = folder.path().join("empty.pem");
    fs::write(&empty, "").unwrap();
    let garbage = folder.path().join("garbage.pem");
    fs::write(&garbage, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    let encrypted = folder.path().join("encrypted.pem");
    let text = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    fs::write(&encrypted, text).unwrap();
    let missing = folder.path().join("missing.pem");
    for (cert, key, expected) in [
        (&missing, &one.key, "missing.pem: can't be read"),
        (&one.cert, &missing, "missing.pem: can't be read"),
        (&empty, &one.key, "empty.pem: has no certificate"),
        (&garbage, &one.key, "garbage.pem: is not an X.509 certificate"),
        (&one.cert, &empty, "empty.pem: has no usable private key"),
        (&one.cert, &encrypted, "encrypted.pem: is encrypted; an unencrypted PEM key is needed"),
        (&one.cert, &two.key, "the key is not that of the certificate"),
        (&one.key, &one.key, "key.pem: has no certificate"),
    ] {
        let error = Files::pair(cert, key).material(at(NOW)).unwrap_err().to_string();
        assert!(error.contains(expected) && !error.contains('\n'), "{error:?} should say {expected:?}");
    }
}

#[test]
fn the_state_folder_follows_the_environment() {
    let with = |state: Option<&'static str>, home: Option<&'static str>| {
        state_folder(move |name| if name == "HOME" { home } else { state }.map(Into::into))
    };
    assert_eq!(with(Some("/s"), Some("/h")), Some("/s/opof".into()));
    assert_eq!(with(None, Some("/h")), Some("/h/.local/state/opof".into()));
    assert_eq!(with(Some("relative"), Some("/h")), Some("/h/.local/state/opof".into()));
    assert_eq!(with(None, None), None);
}
