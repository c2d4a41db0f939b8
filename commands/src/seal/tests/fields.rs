//! Sealed fields: what opens, what is damaged, what is erased.

use std::sync::Arc;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use domain::id::StreamId;
use domain::ports::{Seal as _, SealError};
use domain::private::{Private, SealContext, SealedText, Subject, Unsealed};

use super::{Table, created, existing, guild, person, process, seal, stream, user, vault};
use crate::ring::tests::{MADE_AT, known_ring};
use crate::store::SubjectKeyRow;

fn clear(text: &str) -> Unsealed {
    Unsealed::Clear(text.to_owned())
}

#[tokio::test]
async fn what_was_sealed_long_ago_opens() {
    let subject: Subject = "u_oipdapzlhkgslifhdk5goedzae".parse().unwrap();
    let wrapped = "010101010101010101010101194f206008aad320f3dd7b2a718b8f7eebb787ae1b0dd1dbe18c6d1074ff97f93360fe8a78ec087a2cebed1ca3f6bfdc";
    let row = SubjectKeyRow {
        subject: subject.to_string(),
        key_id: "0badc0de".to_owned(),
        kek_id: 0,
        wrapped: HEXLOWER.decode(wrapped.as_bytes()).unwrap(),
        created_at: MADE_AT,
    };
    let table = Arc::new(Table::default());
    table.rows().insert(subject.to_string(), row);
    let keys = existing(&process(&table, known_ring()), std::slice::from_ref(&subject)).await;
    let sealed: SealedText = "s1:u_oipdapzlhkgslifhdk5goedzae:0badc0de:3:username:AgICAgICAgICAgICocCwWO7ePahy-yNgTT_RZbSWYvcRVBRMzfvQyA".parse().unwrap();
    let stream = StreamId::user(&"u_oipdapzlhkgslifhdk5goedzae".parse().unwrap());
    assert_eq!(keys.unseal(&stream, &sealed), clear("Grace Hopper"));
}

#[tokio::test]
async fn a_sealed_field_opens_where_it_was_sealed() {
    let (_, vault) = vault();
    let keys = created(&vault, &[person(1), guild()]).await;
    for subject in [person(1), guild()] {
        for text in ["", "ada", "Ünï-©ödé 🔑 : u_x", &"x".repeat(10_000)] {
            let sealed = seal(&keys, &subject, text);
            assert_eq!(keys.unseal(&stream(), &sealed), clear(text));
            // What the log gives back is the text again.
            let read: SealedText = sealed.as_str().parse().unwrap();
            assert_eq!(keys.unseal(&stream(), &read), clear(text));
            let parts = sealed.parts().unwrap();
            assert_eq!((parts.subject, parts.sequence, parts.field), (subject.clone(), 3, "username"));
            assert!(parts.key_id.len() == 8 && HEXLOWER.decode(parts.key_id.as_bytes()).is_ok());
            let body = BASE64URL_NOPAD.decode(parts.body.as_bytes()).unwrap();
            assert_eq!(body.len(), 12 + text.len() + 16);
        }
    }
}

#[tokio::test]
async fn the_same_text_is_never_sealed_twice_alike() {
    let (_, vault) = vault();
    let keys = created(&vault, &[person(1)]).await;
    assert_ne!(seal(&keys, &person(1), "ada"), seal(&keys, &person(1), "ada"));
}

#[tokio::test]
async fn a_moved_text_is_damaged() {
    let (_, vault) = vault();
    let keys = created(&vault, &[person(1), person(2)]).await;
    let sealed = seal(&keys, &person(1), "ada");
    let parts = sealed.parts().unwrap();
    let rewritten = |subject: &Subject, key_id: &str, sequence, field| {
        SealedText::new(subject, key_id, sequence, field, parts.body)
    };
    assert_eq!(keys.unseal(&stream(), &rewritten(&person(1), parts.key_id, 3, "username")), clear("ada"));

    let others_key = seal(&keys, &person(2), "x").parts().unwrap().key_id.to_owned();
    let moved = [
        rewritten(&person(1), parts.key_id, 4, "username"),
        rewritten(&person(1), parts.key_id, 3, "displayName"),
        rewritten(&person(2), &others_key, 3, "username"),
    ];
    for text in moved {
        assert_eq!(keys.unseal(&stream(), &text), Unsealed::Damaged, "{}", text.as_str());
    }
    let other_stream = StreamId::user(&user(2));
    assert_eq!(keys.unseal(&other_stream, &sealed), Unsealed::Damaged);
}

#[tokio::test]
async fn an_altered_text_is_damaged() {
    let (_, vault) = vault();
    let keys = created(&vault, &[person(1)]).await;
    let sealed = seal(&keys, &person(1), "ada");
    let parts = sealed.parts().unwrap();
    let body = BASE64URL_NOPAD.decode(parts.body.as_bytes()).unwrap();
    let with_body = |body: &str| SealedText::new(&person(1), parts.key_id, 3, "username", body);
    for place in 0..body.len() {
        let mut altered = body.clone();
        altered[place] ^= 1;
        let text = with_body(&BASE64URL_NOPAD.encode(&altered));
        assert_eq!(keys.unseal(&stream(), &text), Unsealed::Damaged, "byte {place}");
    }
    for length in 0..body.len() {
        let text = with_body(&BASE64URL_NOPAD.encode(&body[..length]));
        assert_eq!(keys.unseal(&stream(), &text), Unsealed::Damaged, "{length} bytes");
    }
    assert_eq!(keys.unseal(&stream(), &with_body("no base64!")), Unsealed::Damaged);
}

#[tokio::test]
async fn a_subject_that_was_not_asked_for_never_looks_erased() {
    let (_, vault) = vault();
    let keys = created(&vault, &[person(1), person(2)]).await;
    let sealed = seal(&keys, &person(2), "grace");
    let keys = existing(&vault, &[person(1)]).await;
    assert_eq!(keys.unseal(&stream(), &sealed), Unsealed::Damaged);
    let context = SealContext { stream: &stream(), sequence: 1, field: "username" };
    let error = keys.seal(&person(2), context, "grace").unwrap_err();
    assert_eq!(error, SealError::NotLoaded(person(2)));
}

#[tokio::test]
async fn a_private_field_opens_through_the_snapshot() {
    let (_, vault) = vault();
    let keys = created(&vault, &[person(1)]).await;
    let field = Private::Sealed(seal(&keys, &person(1), "ada"));
    assert!(field.stands_at(3, "username"));
    assert_eq!(field.open(&keys, &stream()), clear("ada"));
}
