//! The key file: its text, its place on disk, and everything that is refused.

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use super::{FORMAT_1, MADE_AT, assert_gives_nothing_away, counted_ring, known_ring, other_ring};
use crate::ring::KeyRing;
use crate::ring::{List, RingError, SecretId, os_random};

fn folder() -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("keys");
    (folder, path)
}

fn names(folder: &TempDir) -> Vec<String> {
    fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// The error that `text` is refused with; it never repeats a secret.
fn refused(text: &str) -> RingError {
    let error = KeyRing::parse(text, "the test").unwrap_err();
    assert_gives_nothing_away(&format!("{error} {error:?}"));
    error
}

fn damaged_field(text: &str) -> String {
    match refused(text) {
        RingError::Damaged { field, origin, .. } => {
            assert_eq!(origin, "the test");
            field
        }
        other => panic!("{other}"),
    }
}

#[test]
fn format_1_is_written_as_it_is_read() {
    let text = known_ring().to_text().unwrap();
    assert_eq!(std::str::from_utf8(&text).unwrap(), FORMAT_1);
}

#[test]
fn a_file_holds_the_whole_ring() {
    let (folder, path) = folder();
    let ring = counted_ring();
    ring.create_file(&path).unwrap();
    let loaded = KeyRing::load(&path).unwrap();
    assert_eq!(loaded.ring.to_text().unwrap(), ring.to_text().unwrap());
    assert_eq!(loaded.ring.created_at(), MADE_AT);
    assert_eq!(names(&folder), ["keys"]);
}

#[cfg(unix)]
#[test]
fn only_the_owner_may_read_the_file() {
    use std::os::unix::fs::PermissionsExt as _;
    let (_folder, path) = folder();
    counted_ring().create_file(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    assert!(KeyRing::load(&path).unwrap().warning.is_none());
    for mode in [0o640, 0o604, 0o620, 0o601, 0o666] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let error = KeyRing::load(&path).unwrap_err();
        assert!(matches!(error, RingError::TooOpen { mode: found, .. } if found == mode), "{error}");
        assert!(error.to_string().contains(&format!("chmod 600 {}", path.display())), "{error}");
        assert!(error.to_string().contains(&format!("(mode {mode:04o})")), "{error}");
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
    assert!(KeyRing::load(&path).is_ok());
}

#[test]
fn a_new_ring_is_never_written_over_a_file() {
    let (folder, path) = folder();
    fs::write(&path, "something else").unwrap();
    let error = counted_ring().create_file(&path).unwrap_err();
    assert!(matches!(error, RingError::Exists { .. }), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "something else");
    assert_eq!(names(&folder), ["keys"]);
}

#[cfg(unix)]
#[test]
fn a_dangling_link_is_a_file_too() {
    let (folder, path) = folder();
    std::os::unix::fs::symlink(folder.path().join("nowhere"), &path).unwrap();
    assert!(matches!(counted_ring().create_file(&path), Err(RingError::Exists { .. })));
}

#[test]
fn of_two_processes_that_start_at_once_one_makes_the_ring() {
    let (folder, path) = folder();
    let barrier = std::sync::Barrier::new(8);
    let outcomes: Vec<(String, bool)> = std::thread::scope(|scope| {
        let start = || {
            scope.spawn(|| {
                let ring = KeyRing::generate(MADE_AT, &mut os_random).unwrap();
                barrier.wait();
                (ring.fingerprint().to_owned(), ring.create_file(&path).is_ok())
            })
        };
        let started: Vec<_> = (0..8).map(|_| start()).collect();
        started.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let winners: Vec<_> = outcomes.iter().filter(|(_, made)| *made).collect();
    assert_eq!(winners.len(), 1);
    assert_eq!(KeyRing::load(&path).unwrap().ring.fingerprint(), winners[0].0);
    assert_eq!(names(&folder), ["keys"]);
}

#[test]
fn a_missing_folder_and_a_missing_file_are_named() {
    let (folder, _) = folder();
    let path = folder.path().join("no").join("keys");
    let error = counted_ring().create_file(&path).unwrap_err();
    assert!(matches!(error, RingError::Unwritable { .. }), "{error}");
    let error = KeyRing::load(&path).unwrap_err();
    assert!(matches!(error, RingError::Missing { .. }), "{error}");
    assert!(error.to_string().contains(&path.display().to_string()), "{error}");
}

#[test]
fn a_rotated_ring_replaces_its_older_version() {
    let (folder, path) = folder();
    counted_ring().create_file(&path).unwrap();
    let (newer, id) = counted_ring().with_added(List::License, MADE_AT, &mut os_random).unwrap();
    newer.replace_file(&path).unwrap();
    newer.with_activated(List::License, id).unwrap().replace_file(&path).unwrap();
    let ring = KeyRing::load(&path).unwrap().ring;
    assert_eq!((ring.active(List::License), ring.ids(List::License)), (1, vec![0, 1]));
    assert_eq!(names(&folder), ["keys"]);
}

#[test]
fn replacing_never_loses_a_secret() {
    let (_folder, path) = folder();
    let (newer, _) = counted_ring().with_added(List::Access, MADE_AT, &mut os_random).unwrap();
    newer.create_file(&path).unwrap();

    let error = counted_ring().replace_file(&path).unwrap_err();
    assert!(
        matches!(error, RingError::WouldLose { secret: SecretId { list: List::Access, id: 1 }, .. }),
        "{error}"
    );
    let (twin, _) = counted_ring().with_added(List::Access, MADE_AT, &mut os_random).unwrap();
    assert!(matches!(twin.replace_file(&path), Err(RingError::WouldLose { .. })));
    let error = other_ring().replace_file(&path).unwrap_err();
    assert!(matches!(error, RingError::OtherRing { .. }), "{error}");
    assert_gives_nothing_away(&error.to_string());
    assert_eq!(KeyRing::load(&path).unwrap().ring.to_text().unwrap(), newer.to_text().unwrap());
}

#[cfg(unix)]
#[test]
fn replacing_through_a_link_keeps_the_link() {
    let (folder, path) = folder();
    counted_ring().create_file(&path).unwrap();
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let (newer, _) = counted_ring().with_added(List::Cache, MADE_AT, &mut os_random).unwrap();
    newer.replace_file(&link).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(KeyRing::load(&path).unwrap().ring.ids(List::Cache), [0, 1]);
}

#[test]
fn a_newer_format_is_refused_with_both_numbers() {
    // A newer file may have any fields: the format is looked at before them.
    let text = FORMAT_1.replace("\"format\": 1", "\"format\": 2").replace("\"root\"", "\"roots\"");
    let error = refused(&text);
    assert!(matches!(error, RingError::Newer { format: 2, known: 1, .. }), "{error}");
    assert!(error.to_string().contains("format 2") && error.to_string().contains("up to 1"), "{error}");
}

#[test]
fn every_truncated_file_is_refused() {
    let end = FORMAT_1.trim_end().len();
    for length in 0..end {
        let error = refused(&FORMAT_1[..length]);
        assert!(matches!(error, RingError::Damaged { .. }), "{length}: {error}");
    }
    let cut = refused(&FORMAT_1[..end / 2]).to_string();
    assert!(cut.contains("the file was cut off"), "{cut}");
}

#[test]
fn a_damaged_field_is_named() {
    let root = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
    let license = "4OHi4-Tl5ufo6err7O3u7_Dx8vP09fb3-Pn6-_z9_v8";
    let cases = [
        ("\"format\": 1", "\"format\": \"1\"", "`format`"),
        ("\"format\": 1", "\"format\": 0", "`format`"),
        ("\"root\"", "\"toor\"", "`root`"),
        (root, &root[1..], "`root`"),
        (root, &root.replace("AAEC", "AAE!"), "`root`"),
        (root, &root.replace("AAEC", "\\u0041"), "`root`"),
        (root, &root.replace("AAEC", "BAEC"), "`root`"),
        (license, &format!("{license}A"), "`license.secrets[1].secret`"),
        ("\"id\": 1", "\"id\": 0", "`license.secrets[1].id`"),
        ("\"id\": 1", "\"id\": 32", "`license.secrets[1].id`"),
        ("\"id\": 1", "\"id\": -1", "`license.secrets[1].id`"),
        ("2026-02-03T04", "2026-02-31T04", "`license.secrets[1].createdAt`"),
        ("\"active\": 0", "\"active\": 9", "`license.active`"),
        ("\"cache\": {", "\"cash\": {", "`cache`"),
        ("\"createdAt\": \"2026-01-02T03:04:05.678Z\",\n  \"root\"", "\"root\"", "`createdAt`"),
        ("\"format\": 1,", "\"format\": 1, \"note\": \"x\",", "`note`"),
    ];
    for (from, to, field) in cases {
        assert!(FORMAT_1.contains(from), "{from}");
        assert_eq!(damaged_field(&FORMAT_1.replacen(from, to, 1)), field, "{from} → {to}");
    }
    for text in ["", "[]", "null", "keys", "{}", "\u{feff}{}"] {
        assert!(matches!(refused(text), RingError::Damaged { .. }), "{text}");
    }
}

#[test]
fn a_list_without_secrets_is_damaged() {
    let mut value: serde_json::Value = serde_json::from_str(FORMAT_1).unwrap();
    value["access"]["secrets"] = serde_json::json!([]);
    assert_eq!(damaged_field(&value.to_string()), "`access.secrets`");
    value["access"] = serde_json::json!("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8");
    assert_eq!(damaged_field(&value.to_string()), "`access`");
}

#[test]
fn a_file_that_is_no_text_is_refused_without_its_bytes() {
    let (_folder, path) = folder();
    counted_ring().create_file(&path).unwrap();
    fs::write(&path, [0xff, 0xfe, 0x00]).unwrap();
    let error = KeyRing::load(&path).unwrap_err();
    assert!(matches!(error, RingError::Unreadable { .. }), "{error}");
}

#[test]
fn secrets_added_by_many_at_once_are_all_kept() {
    let (folder, path) = folder();
    counted_ring().create_file(&path).unwrap();
    let add = || {
        KeyRing::change_file(&path, |ring| ring.with_added(List::Cache, MADE_AT, &mut os_random)).unwrap().1
    };
    let mut ids: Vec<u32> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..4).map(|_| scope.spawn(|| (0..5).map(|_| add()).collect::<Vec<_>>())).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    ids.sort_unstable();
    assert_eq!(ids, (1..=20).collect::<Vec<u32>>());
    assert_eq!(KeyRing::load(&path).unwrap().ring.ids(List::Cache), (0..=20).collect::<Vec<u32>>());
    assert_eq!(names(&folder), ["keys"]);
}

#[test]
fn a_change_that_fails_leaves_the_file() {
    let (_folder, path) = folder();
    counted_ring().create_file(&path).unwrap();
    let before = fs::read(&path).unwrap();
    let fail = |ring: &KeyRing| ring.with_activated(List::Access, 4).map(|ring| (ring, ()));
    assert!(matches!(KeyRing::change_file(&path, fail), Err(RingError::NoSuchSecret { .. })));
    assert_eq!(fs::read(&path).unwrap(), before);
}
