//! What is computed from a ring, byte for byte.

use data_encoding::HEXLOWER;
use domain::credential::{self, ApiKeyId, ApiKeyKind};
use domain::device::Component;
use domain::id::{DiscordId, GuildId, LicenseId, Pseudonym};
use domain::key::{self, KeyVersion, Prefix};
use domain::ports::{Mac as _, Purpose};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::{counted_ring, known_ring};
use crate::ring::List;

const GUILD: GuildId = GuildId(197_038_439_483_310_086);
const ACCOUNT: DiscordId = DiscordId(80_351_110_224_678_912);

#[test]
fn each_purpose_has_the_key_it_always_had() {
    let ring = known_ring();
    let known = [
        (Purpose::SubjectPepper, "d32dc744fafe96f705523a9a44a24f2936d11480a566a537c9752fdc118d89d9"),
        (Purpose::Alias, "683f2970923eb9c35c83085e860e7310ef20609c0d9f0c11a342976cbe1a87aa"),
        (Purpose::RoleLicense, "db15b7b9aaf9d56f956222406bde4c41ad50f72be201624cd02885593591db03"),
        (Purpose::Fingerprint, "ae5bbd6c9f646152e607cdaf8e0970a3671d39cb4d3287fd7eda03ca1434af9c"),
        (Purpose::ApiKey, "9b55548e8db55e192a24954c41800f753d4b410eb092d5ee72353f2969b4618f"),
        (Purpose::WebhookSecret, "affc13d51c0aee44390add64411827dc41a19776f51d8c4339c3cc58ececa294"),
        (Purpose::RefreshToken, "f7163d0e144ffc8579f9825423c24240c35223821b1785463b004657de5905fb"),
        (Purpose::SignIn, "f6ce0143241329182b8dc408431979f66b3506d73eed44fc419421789d45f591"),
        (Purpose::Csrf, "75b72618a8ec13480c3ede26ead830f8362f1b5a23d4a87f381530986d1b9db3"),
        (Purpose::PlatformClaim, "1ca2c3f64e51132a49cc3d30ea8c3bc733ae30a502d51168f1558440ea85db78"),
    ];
    for (purpose, tag) in known {
        assert_eq!(HEXLOWER.encode(&ring.mac(purpose, &[b"known ", b"answer"])), tag, "{purpose:?}");
    }
    assert_eq!(ring.fingerprint(), "172d382fca05a9e5");
}

#[test]
fn license_key_and_cache_secrets_are_used_as_they_stand() {
    let ring = known_ring();
    let tag = |id| ring.license_key_mac(id, &[b"known answer"]).map(|tag| HEXLOWER.encode(&tag));
    let zero = "10a929c70c5b543dd755f0f6e286b846e162df822331ad8266767f8650057a1e";
    let one = "fa0c12b38eacd34c63527d32d2372767f568446962168cc42b9946a6fdf4ce49";
    assert_eq!([tag(0).as_deref(), tag(1).as_deref(), tag(2).as_deref()], [Some(zero), Some(one), None]);
    assert_eq!(tag(31), None);
    assert_eq!(tag(32), None);
    let (id, tag) = ring.cache_mac(&[b"known", b" answer"]);
    assert_eq!(HEXLOWER.encode(&tag), "bb4bbf4d42dbe04a256c25c0e2c7a901ff723ed396e3ac35c82ec90a0611b157");
    assert_eq!(id, 0);
    assert_eq!(ring.cache_mac_under(0, &[b"known answer"]), Some(tag));
    assert_eq!(ring.cache_mac_under(1, &[b"known answer"]), None);
}

#[test]
fn pseudonyms_ids_and_credentials_are_what_they_always_were() {
    let ring = known_ring();
    let user = Pseudonym::of(&ring, ACCOUNT);
    assert_eq!(user.as_str(), "u_oipdapzlhkgslifhdk5goedzae");
    let license = LicenseId::for_slot(&ring, GUILD, &user, "pro", 1);
    assert_eq!(license.to_string(), "ce6da1b2-caa0-808b-a548-a0d3221795e5");
    assert_eq!(Component::hashed(&ring, license, "disk", "S3Z9NB0K").hash, "T2f92wCqalKVAH3aawGdXw");
    let id = ApiKeyId::new(GUILD, [1, 2, 3, 4]);
    let keys = [ApiKeyKind::Publishable, ApiKeyKind::Secret].map(|kind| credential::render(&ring, kind, id));
    assert_eq!(keys[0], "dca_pub_0eCXcoL9ID7QGmM5OxFlUBOgDLTYAWPtKpoe1xhZGfd");
    assert_eq!(keys[1], "dca_sec_0eCXcoL9ID7QGmM5ktHPFj2VBFxXPelsBZFtRjS58Le");
    let key = |secret_id, version| {
        key::render(&ring, &Prefix::default(), license, KeyVersion { secret_id, version }).unwrap()
    };
    assert_eq!(key(0, 0), "DCA-400CW-VD1PB-5A104-BMN4A-1MS22-YAYA8-QRBFB-3ZYPM-8GT623");
    assert_eq!(key(1, 1), "DCA-440WW-VD1PB-5A104-BMN4A-1MS22-YAYAN-1EN2B-VTRCA-ZD2S8X");
}

#[test]
fn a_new_ring_takes_its_secrets_in_the_order_of_the_file() {
    let (made, read) = (counted_ring(), known_ring());
    assert_eq!(made.fingerprint(), read.fingerprint());
    for list in List::ALL {
        assert_eq!(made.list(list).entries()[0], read.list(list).entries()[0], "{list}");
    }
}

#[test]
fn a_tag_is_the_hmac_of_the_joined_parts() {
    let ring = known_ring();
    let texts =
        [0, 1, 63, 64, 65, 200, 5_000].map(|length| (0..=255).cycle().take(length).collect::<Vec<u8>>());
    for text in &texts {
        let mut plain =
            Hmac::<Sha256>::new_from_slice(ring.list(List::License).active_secret().bytes()).unwrap();
        plain.update(text);
        let plain: [u8; 32] = plain.finalize().into_bytes().into();
        assert_eq!(ring.license_key_mac(0, &[text]), Some(plain));
        let (head, tail) = text.split_at(text.len() / 3);
        assert_eq!(ring.license_key_mac(0, &[head, b"", tail]), Some(plain));
    }
}

#[test]
fn another_root_makes_other_pseudonyms() {
    let (ours, theirs) = (known_ring(), super::other_ring());
    assert_ne!(Pseudonym::of(&ours, ACCOUNT), Pseudonym::of(&theirs, ACCOUNT));
    assert_ne!(ours.fingerprint(), theirs.fingerprint());
}
