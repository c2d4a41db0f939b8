//! Keys are wrapped anew: they stay what they were, and the earlier key-encryption key opens none of them.

use super::super::{Rewrapped, VaultError};
use super::*;
use crate::ring::{List, os_random};

/// The known ring with a second, active key-encryption key.
fn rotated(ring: &KeyRing) -> KeyRing {
    let (ring, added) = ring.with_added(List::Encryption, MADE_AT, &mut os_random).unwrap();
    ring.with_activated(List::Encryption, added).unwrap()
}

#[tokio::test]
async fn every_key_is_the_same_under_another_wrapping() {
    let (table, before) = vault();
    let subjects: Vec<Subject> = (1..=450).map(|n| Subject::Guild(GuildId(n))).collect();
    before.keys_for(&subjects, Missing::Create).await.unwrap();
    let context = SealContext { stream: &StreamId::guild(GuildId(7)), sequence: 1, field: "reason" };
    let keys = before.keys_for(&subjects, Missing::Leave).await.unwrap();
    let sealed = keys.seal(&subjects[6], context, "left the house").unwrap();
    table.rows().get_mut(&subjects[9].to_string()).unwrap().wrapped[20] ^= 1;

    let after = process(&table, rotated(&known_ring()));
    assert_eq!(after.wrapped_by(0).await.unwrap(), 450);
    assert_eq!(after.rewrap(0).await.unwrap(), Rewrapped { rewrapped: 449, damaged: 1 });
    assert_eq!(after.wrapped_by(0).await.unwrap(), 1);
    assert_eq!(after.wrapped_by(1).await.unwrap(), 449);
    let keys = after.keys_for(&subjects[6..7], Missing::Leave).await.unwrap();
    let opened = keys.unseal(&StreamId::guild(GuildId(7)), &sealed);
    assert_eq!(opened, domain::private::Unsealed::Clear("left the house".to_owned()));
    assert_eq!(after.rewrap(0).await.unwrap(), Rewrapped { rewrapped: 0, damaged: 1 });
    // Whoever has the earlier ring only, as a thief has, opens nothing.
    let thief = process(&table, known_ring());
    let error = thief.keys_for(&subjects[6..7], Missing::Leave).await.unwrap_err();
    assert!(matches!(error, VaultError::NoKek { kek_id: 1, .. }), "{error}");
}
