//! Data keys: made once, wrapped, destroyed.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use domain::ports::{Seal as _, VaultUnavailable};
use domain::private::{Subject, Unsealed};
use tokio::sync::Barrier;

use super::{Table, created, existing, guild, person, process, seal, stream, vault};
use crate::CommandError;
use crate::ring::tests::{MADE_AT, assert_gives_nothing_away, known_ring, other_ring};
use crate::ring::{List, os_random};
use crate::seal::{Missing, VaultError};

#[tokio::test]
async fn a_key_is_made_when_asked_for_and_only_then() {
    let (table, vault) = vault();
    assert!(!existing(&vault, &[person(1)]).await.has(&person(1)));
    assert!(table.rows().is_empty());
    assert!(created(&vault, &[person(1), person(1)]).await.has(&person(1)));
    let row = table.rows().get(&person(1).to_string()).cloned().unwrap();
    assert_eq!((row.kek_id, row.created_at, row.wrapped.len()), (0, MADE_AT, 60));
    created(&vault, &[person(1), guild()]).await;
    assert_eq!(table.rows().get(&person(1).to_string()), Some(&row));
    assert_eq!(table.rows().len(), 2);
}

#[tokio::test]
async fn nobody_asked_for_costs_nothing() {
    let (table, vault) = vault();
    created(&vault, &[]).await;
    assert_eq!(table.reads(), 0);
}

#[tokio::test]
async fn keys_of_many_subjects_are_loaded_at_once() {
    let (table, vault) = vault();
    let people: Vec<Subject> = (1..=1_200).map(person).collect();
    let keys = created(&vault, &people).await;
    assert!(people.iter().all(|subject| keys.has(subject)));
    assert_eq!((table.rows().len(), table.reads()), (1_200, 2));
}

#[tokio::test]
async fn two_processes_that_make_the_same_key_at_once_agree() {
    let table = Arc::new(Table::default());
    let [one, two] = [process(&table, known_ring()), process(&table, known_ring())];
    // Each reads before the other inserts.
    *table.meeting.lock().unwrap() = Some(Arc::new(Barrier::new(2)));
    let people = [person(1), guild()];
    let (one, two) = tokio::join!(created(&one, &people), created(&two, &people));
    for subject in &people {
        let (from_one, from_two) = (seal(&one, subject, "ada"), seal(&two, subject, "grace"));
        assert_eq!(two.unseal(&stream(), &from_one), Unsealed::Clear("ada".to_owned()));
        assert_eq!(one.unseal(&stream(), &from_two), Unsealed::Clear("grace".to_owned()));
    }
    assert_eq!(table.rows().len(), 2);
}

#[tokio::test]
async fn a_destroyed_key_leaves_erased() {
    let (table, vault) = vault();
    let keys = created(&vault, &[person(1), person(2)]).await;
    let (ada, grace) = (seal(&keys, &person(1), "ada"), seal(&keys, &person(2), "grace"));
    vault.destroy(&person(1)).await.unwrap();
    vault.destroy(&person(1)).await.unwrap();
    assert_eq!(table.rows().len(), 1);
    let keys = existing(&vault, &[person(1), person(2)]).await;
    assert_eq!(keys.unseal(&stream(), &ada), Unsealed::Erased);
    assert_eq!(keys.unseal(&stream(), &grace), Unsealed::Clear("grace".to_owned()));
}

#[tokio::test]
async fn somebody_who_comes_back_gets_another_key() {
    let (_, vault) = vault();
    let before = seal(&created(&vault, &[person(1)]).await, &person(1), "ada");
    vault.destroy(&person(1)).await.unwrap();
    let keys = created(&vault, &[person(1)]).await;
    let after = seal(&keys, &person(1), "ada again");
    assert_eq!(keys.unseal(&stream(), &before), Unsealed::Erased);
    assert_eq!(keys.unseal(&stream(), &after), Unsealed::Clear("ada again".to_owned()));
}

#[tokio::test]
async fn a_subject_erased_while_its_key_is_made_is_an_error_that_can_be_repeated() {
    let (table, vault) = vault();
    table.forgetful.store(true, Ordering::SeqCst);
    let error = vault.keys_for(&[person(1)], Missing::Create).await.unwrap_err();
    assert!(matches!(&error, VaultError::ErasedMeanwhile(subject) if *subject == person(1)), "{error}");
    assert_eq!(CommandError::from(error), CommandError::Conflict(1));
}

#[tokio::test]
async fn after_a_rotation_old_keys_open_and_new_ones_are_wrapped_by_the_new_key() {
    let (table, vault) = vault();
    let sealed = seal(&created(&vault, &[person(1)]).await, &person(1), "ada");
    let (ring, id) = known_ring().with_added(List::Encryption, MADE_AT, &mut os_random).unwrap();
    let rotated = process(&table, ring.with_activated(List::Encryption, id).unwrap());
    let keys = created(&rotated, &[person(1), person(2)]).await;
    assert_eq!(keys.unseal(&stream(), &sealed), Unsealed::Clear("ada".to_owned()));
    assert_eq!(table.rows()[&person(2).to_string()].kek_id, i64::from(id));

    // A process that was not given the newer ring names what it lacks.
    let error = vault.keys_for(&[person(2)], Missing::Leave).await.unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, VaultError::NoKek { kek_id: 1, .. }), "{text}");
    assert!(text.contains("key-encryption key 1") && text.contains("172d382fca05a9e5"), "{text}");
    assert!(text.contains("copy the key file"), "{text}");
    assert_gives_nothing_away(&text);
    assert!(matches!(VaultUnavailable::from(error), VaultUnavailable::Ring(_)));
}

#[tokio::test]
async fn an_impossible_key_encryption_key_is_one_that_the_ring_lacks() {
    let (table, vault) = vault();
    created(&vault, &[guild()]).await;
    for id in [-1, 1 << 32] {
        table.rows().get_mut(&guild().to_string()).unwrap().kek_id = id;
        vault.forget(&guild());
        let error = vault.keys_for(&[guild()], Missing::Create).await.unwrap_err();
        assert!(matches!(error, VaultError::NoKek { kek_id, .. } if kek_id == id), "{error}");
    }
}

#[tokio::test]
async fn a_row_that_was_altered_or_copied_does_not_open() {
    let (table, vault) = vault();
    created(&vault, &[person(1), person(2)]).await;
    let rows = table.rows().clone();
    let (one, two) = (person(1).to_string(), person(2).to_string());
    let mut copied = rows[&two].clone();
    copied.subject.clone_from(&one);
    let mut renamed = rows[&one].clone();
    renamed.key_id = "00000000".to_owned();
    let mut flipped = rows[&one].clone();
    flipped.wrapped[20] ^= 1;
    let mut cut = rows[&one].clone();
    cut.wrapped.truncate(5);
    for row in [copied, renamed, flipped, cut] {
        table.rows().insert(one.clone(), row);
        vault.forget(&person(1));
        let error = vault.keys_for(&[person(1), person(2)], Missing::Create).await.unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, VaultError::DamagedRow { .. }), "{text}");
        assert!(text.contains(&one) && text.contains("key-encryption key 0"), "{text}");
        assert!(matches!(CommandError::from(error), CommandError::Damaged(_)));
    }
}

#[tokio::test]
async fn a_row_of_another_ring_does_not_open() {
    let (table, vault) = vault();
    created(&vault, &[person(1)]).await;
    let foreign = process(&table, other_ring());
    let error = foreign.keys_for(&[person(1)], Missing::Leave).await.unwrap_err();
    assert!(matches!(error, VaultError::DamagedRow { .. }), "{error}");
    assert_gives_nothing_away(&error.to_string());
}

#[tokio::test]
async fn a_store_that_is_away_makes_nobody_look_erased() {
    let (table, vault) = vault();
    table.down.store(true, Ordering::SeqCst);
    for missing in [Missing::Leave, Missing::Create] {
        let error = vault.keys_for(&[person(1)], missing).await.unwrap_err();
        assert!(matches!(error, VaultError::Table(_)), "{error}");
        assert!(error.to_string().contains("the database is away"), "{error}");
        assert!(matches!(VaultUnavailable::from(error), VaultUnavailable::Store(_)));
    }
    assert!(vault.destroy(&person(1)).await.is_err());
}

#[tokio::test]
async fn projections_see_the_vault_through_their_port() {
    let (_, vault) = vault();
    let sealed = seal(&created(&vault, &[person(1)]).await, &person(1), "ada");
    let port: Arc<dyn domain::ports::Vault> = Arc::new(vault);
    let people = [person(1)];
    let keys = port.keys(&people).await.unwrap();
    assert_eq!(keys.unseal(&stream(), &sealed), Unsealed::Clear("ada".to_owned()));
    // Reading makes no keys.
    let nobody = [person(9)];
    port.keys(&nobody).await.unwrap();
    port.forget(&person(1));
    assert!(port.keys(&nobody).await.is_ok());
}

#[tokio::test]
async fn nothing_shows_a_data_key() {
    let (_, vault) = vault();
    let keys = created(&vault, &[person(1)]).await;
    let secret = keys.held[&person(1)].as_ref().unwrap().secret.clone();
    let shown = format!("{vault:?} {keys:?} {keys:#?}");
    assert!(!shown.contains(&format!("{:?}", &secret[..4]).trim_matches(['[', ']']).to_owned()), "{shown}");
    assert_gives_nothing_away(&shown);
}
