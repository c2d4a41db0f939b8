//! `Accept-Signature` (RFC 9421, section 5): what a caller asks of the signature of an answer. Who asks for something that
//! cannot be had is told so: an answer without the signature that he counts on would look like that of a fake server.

use axum::http::{HeaderMap, HeaderName, Method, Uri};
use sfv::{BareItem, Dictionary, InnerList, Item, ItemSerializer, ListEntry, Parser};

use super::{ALGORITHM, CONTENT_DIGEST, Component, TAG, Wish};
use crate::error::ApiError;

pub(super) const ACCEPT_SIGNATURE: HeaderName = HeaderName::from_static("accept-signature");
/// Longest nonce: that of a validation.
const NONCE_MAX: usize = 128;

fn wrong(detail: impl Into<String>) -> ApiError {
    ApiError::invalid("Accept-Signature", "WRONG_FORM", detail)
}

/// Reads the header, which is there. An empty dictionary asks for nothing (RFC 8941, section 3.2).
pub(super) fn read(method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<Option<Wish>, ApiError> {
    let asked = dictionary(headers, &ACCEPT_SIGNATURE).ok_or_else(|| {
        wrong("must be a structured dictionary, such as dca=();created;nonce=\"…\";tag=\"dca-auth\"")
    })?;
    if asked.is_empty() {
        return Ok(None);
    }
    let mut members = asked.into_iter();
    let (Some((label, ListEntry::InnerList(list))), None) = (members.next(), members.next()) else {
        return Err(wrong("must ask for one signature: a label, and a list of components in parentheses"));
    };
    let mut wish = Wish::new(label.as_str(), method, uri);
    wish.digest = digest(headers)?;
    check_components(&list, wish.digest.is_some())?;
    take_parameters(&list, &mut wish)?;
    Ok(Some(wish))
}

/// A header that is a dictionary; several lines of it are one.
fn dictionary(headers: &HeaderMap, name: &HeaderName) -> Option<Dictionary> {
    let lines: Option<Vec<&str>> = headers.get_all(name).iter().map(|line| line.to_str().ok()).collect();
    Parser::new(&lines?.join(", ")).parse().ok()
}

/// The digest of the request, if it states one.
fn digest(headers: &HeaderMap) -> Result<Option<(String, [u8; 32])>, ApiError> {
    if !headers.contains_key(CONTENT_DIGEST) {
        return Ok(None);
    }
    let wrong = || {
        let detail = "must state the SHA-256 of the body, as `sha-256=:…:` (RFC 9530)";
        ApiError::invalid("Content-Digest", "WRONG_FORM", detail)
    };
    let stated = dictionary(headers, &CONTENT_DIGEST).ok_or_else(wrong)?;
    let Some(ListEntry::Item(Item { bare_item: BareItem::ByteSequence(bytes), .. })) = stated.get("sha-256")
    else {
        return Err(wrong());
    };
    let bytes: [u8; 32] = bytes.as_slice().try_into().map_err(|_| wrong())?;
    // As a signature base has it: the lines of the header, trimmed and joined.
    let lines = headers.get_all(CONTENT_DIGEST).iter().filter_map(|line| line.to_str().ok());
    let text = lines.map(str::trim).collect::<Vec<_>>().join(", ");
    Ok(Some((text, bytes)))
}

/// Whoever names components gets all of ours, so it is enough that those are among them.
fn check_components(list: &InnerList, has_digest: bool) -> Result<(), ApiError> {
    let ours: Vec<&str> = Component::ALL
        .into_iter()
        .filter(|component| has_digest || *component != Component::RequestDigest)
        .map(Component::identifier)
        .collect();
    let mut named: Vec<String> = Vec::new();
    for item in &list.items {
        let serializer = ItemSerializer::new().bare_item(&item.bare_item);
        let identifier = serializer.parameters(&item.params).finish();
        if !ours.contains(&identifier.as_str()) {
            let detail =
                format!("names {identifier}, which is not signed here; there are {}", ours.join(" "));
            return Err(wrong(detail));
        }
        if named.contains(&identifier) {
            return Err(wrong(format!("names {identifier} twice")));
        }
        named.push(identifier);
    }
    Ok(())
}

fn take_parameters(list: &InnerList, wish: &mut Wish) -> Result<(), ApiError> {
    for (name, value) in &list.params {
        match (name.as_str(), value) {
            ("created", BareItem::Boolean(true)) => {}
            ("alg", BareItem::String(text)) if text.as_str() == ALGORITHM => {}
            ("tag", BareItem::String(text)) if text.as_str() == TAG => {}
            ("keyid", BareItem::String(text)) => wish.key = Some(text.as_str().to_owned()),
            ("nonce", BareItem::String(text)) if (1..=NONCE_MAX).contains(&text.as_str().len()) => {
                wish.nonce = Some(ItemSerializer::new().bare_item(value).finish());
            }
            (other, _) => {
                let detail = format!(
                    "has a parameter `{other}` that is not known or has not its form; there are created, \
                     nonce=\"1 to {NONCE_MAX} characters\", keyid=\"…\", alg=\"{ALGORITHM}\" and tag=\"{TAG}\""
                );
                return Err(wrong(detail));
            }
        }
    }
    Ok(())
}
