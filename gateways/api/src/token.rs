//! Access tokens: EdDSA JWTs of five minutes (RFC 9068: `typ` is `at+jwt`). The algorithm is pinned, the clock is
//! the caller's. Nothing here issues sessions or refresh tokens, and no private key comes here: signing goes
//! through the port.

use std::sync::{Arc, PoisonError, RwLock};

use commands::ring::KeyRing;
use commands::signer::{KeySet, Signer, SigningPurpose};
use data_encoding::BASE64URL_NOPAD;
use domain::id::{DiscordId, SessionId};
use domain::ports::Sign;
use domain::time::{Span, Timestamp};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::{Deserialize, Serialize};

/// `sub` of the platform owner's token.
pub const OPERATOR: &str = "operator";
/// `aud` of every access token.
pub const AUDIENCE: &str = "dca-auth";
/// How long an access token works.
pub const LIFETIME: Span = Span::seconds(300);
/// `sid` of a token that was made by whoever has the key ring, on the command line: it belongs to no session.
pub const LOCAL: &str = "local";
/// How far clocks may differ.
pub const LEEWAY: Span = Span::seconds(60);
const TYPE: &str = "at+jwt";

/// What an access token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Who issued it.
    pub iss: String,
    /// Always [`AUDIENCE`].
    pub aud: String,
    /// `operator`, or a Discord user id.
    pub sub: String,
    /// The session, or [`LOCAL`].
    pub sid: String,
    /// Seconds since 1970.
    pub iat: i64,
    /// Seconds since 1970.
    pub exp: i64,
}

/// Why a token is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not a token of this server.
    #[error("the access token is not one of this server")]
    Invalid,
    /// Its time is over.
    #[error("the access token has expired")]
    Expired,
}

/// A public key could not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the public key `{0}` of access tokens cannot be used")]
pub struct BadKey(String);

/// The keys of access tokens: one that signs, all that verify. They follow the ring.
#[derive(Clone)]
pub struct TokenKeys {
    issuer: String,
    rules: Validation,
    ring: Arc<KeyRing>,
    drawn: Arc<RwLock<Arc<Drawn>>>,
}

/// What was made of the ring's list of access tokens.
struct Drawn {
    /// The ring's generation that it was made of.
    generation: u64,
    sign: Signer,
    known: Vec<(String, DecodingKey)>,
}

impl Drawn {
    fn of(ring: &KeyRing) -> Result<Self, BadKey> {
        // Asked before: what changes meanwhile is drawn again at the next look.
        let generation = ring.generation();
        let known = KeySet::of(ring, SigningPurpose::AccessTokens)
            .keys
            .into_iter()
            .map(|key| match DecodingKey::from_ed_components(&key.x) {
                Ok(decoded) => Ok((key.kid, decoded)),
                Err(_) => Err(BadKey(key.kid)),
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { generation, sign: Signer::active(ring, SigningPurpose::AccessTokens), known })
    }
}

impl TokenKeys {
    /// The keys of the ring's list of access tokens. `issuer` is `iss`.
    ///
    /// # Errors
    /// [`BadKey`], which no ring that was read gives.
    pub fn of(ring: &Arc<KeyRing>, issuer: impl Into<String>) -> Result<Self, BadKey> {
        let issuer = issuer.into();
        let mut rules = Validation::new(Algorithm::EdDSA);
        rules.set_audience(&[AUDIENCE]);
        rules.set_issuer(&[&issuer]);
        // `sid` and `iat` are no registered names to the library: the claims do not parse without them.
        rules.set_required_spec_claims(&["iss", "aud", "sub", "exp"]);
        // The library reads the system's clock; this one may be the demo's, so `exp` is compared below.
        rules.validate_exp = false;
        let drawn = Arc::new(RwLock::new(Arc::new(Drawn::of(ring)?)));
        Ok(Self { issuer, rules, ring: Arc::clone(ring), drawn })
    }

    /// `iss` of everything that this server signs.
    pub(crate) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The keys as the ring has them now. A ring that cannot be drawn from (which no ring that was read is) leaves those
    /// that were drawn before.
    fn drawn(&self) -> Arc<Drawn> {
        let drawn = Arc::clone(&self.drawn.read().unwrap_or_else(PoisonError::into_inner));
        if drawn.generation == self.ring.generation() {
            return drawn;
        }
        let Ok(fresh) = Drawn::of(&self.ring).map(Arc::new) else { return drawn };
        *self.drawn.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&fresh);
        fresh
    }

    /// Reads a token and checks everything that it says.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Claims, TokenError> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| TokenError::Invalid)?;
        if header.typ.as_deref() != Some(TYPE) || header.alg != Algorithm::EdDSA {
            return Err(TokenError::Invalid);
        }
        let id = header.kid.ok_or(TokenError::Invalid)?;
        let drawn = self.drawn();
        let (_, key) = drawn.known.iter().find(|(known, _)| *known == id).ok_or(TokenError::Invalid)?;
        let claims =
            jsonwebtoken::decode::<Claims>(token, key, &self.rules).map_err(|_| TokenError::Invalid)?.claims;
        let (now_s, leeway_s) = (now.ms() / 1_000, LEEWAY.ms() / 1_000);
        if claims.iat > now_s + leeway_s {
            return Err(TokenError::Invalid);
        }
        if now_s >= claims.exp.saturating_add(leeway_s) {
            return Err(TokenError::Expired);
        }
        Ok(claims)
    }
}

/// Makes an access token for `subject` ([`OPERATOR`] or a Discord user id) that works from `now` on and belongs to no
/// session.
pub fn mint(keys: &TokenKeys, subject: &str, now: Timestamp) -> String {
    signed(keys, subject.to_owned(), LOCAL.to_owned(), now)
}

/// Makes an access token of a session that works from `now` on.
pub(crate) fn mint_for(keys: &TokenKeys, account: DiscordId, session: SessionId, now: Timestamp) -> String {
    signed(keys, account.to_string(), session.to_string(), now)
}

fn signed(keys: &TokenKeys, sub: String, sid: String, now: Timestamp) -> String {
    let iat = now.ms() / 1_000;
    let claims = Claims {
        iss: keys.issuer.clone(),
        aud: AUDIENCE.to_owned(),
        sub,
        sid,
        iat,
        exp: iat + LIFETIME.ms() / 1_000,
    };
    let drawn = keys.drawn();
    let header = serde_json::json!({ "alg": "EdDSA", "typ": TYPE, "kid": drawn.sign.key_id() });
    // Both are plain objects of strings and numbers, so each has a JSON form.
    let claims = serde_json::to_string(&claims).unwrap_or_default();
    let mut token = BASE64URL_NOPAD.encode(header.to_string().as_bytes());
    token.push('.');
    BASE64URL_NOPAD.encode_append(claims.as_bytes(), &mut token);
    let signature = drawn.sign.sign(token.as_bytes());
    token.push('.');
    BASE64URL_NOPAD.encode_append(&signature, &mut token);
    token
}

#[cfg(test)]
mod tests {
    use super::*;
    use commands::ring::List;
    use serde_json::{Value, json};

    const NOW: Timestamp = Timestamp(1_800_000_000_000);

    fn ring() -> Arc<KeyRing> {
        Arc::new(KeyRing::generate(NOW, &mut commands::ring::os_random).unwrap())
    }

    #[test]
    fn tokens_are_signed_by_the_secret_that_is_active_and_proved_by_every_one() {
        let ring = ring();
        let keys = TokenKeys::of(&ring, "https://auth.example").unwrap();
        let earlier = mint(&keys, OPERATOR, NOW);
        let (more, id) = ring.with_added(List::Access, NOW, &mut commands::ring::os_random).unwrap();
        let rotated = more.with_activated(List::Access, id).unwrap();
        let elsewhere = TokenKeys::of(&Arc::new(rotated), "https://auth.example").unwrap();
        let later = mint(&elsewhere, OPERATOR, NOW);
        assert_eq!(keys.verify(&later, NOW), Err(TokenError::Invalid));
        ring.follow(&more, &ring.active_ids()).unwrap();
        assert!(keys.verify(&later, NOW).is_ok(), "it is proved before anything is signed with it here");
        ring.follow(&more, &more.with_activated(List::Access, id).unwrap().active_ids()).unwrap();
        assert_eq!(keys.drawn().sign.key_id(), elsewhere.drawn().sign.key_id());
        assert!(keys.verify(&earlier, NOW).is_ok());
    }

    #[test]
    fn a_minted_token_is_read_until_its_time_is_over() {
        let keys = TokenKeys::of(&ring(), "https://auth.example").unwrap();
        let token = mint(&keys, OPERATOR, NOW);
        assert_eq!(keys.verify(&token, NOW).unwrap().sub, OPERATOR);
        assert!(keys.verify(&token, NOW.after(Span::seconds(359))).is_ok());
        assert_eq!(keys.verify(&token, NOW.after(Span::seconds(360))), Err(TokenError::Expired));
        assert_eq!(keys.verify(&token, Timestamp(NOW.0 - 61_000)), Err(TokenError::Invalid));
    }

    #[test]
    fn tokens_of_others_are_refused() {
        let keys = TokenKeys::of(&ring(), "https://auth.example").unwrap();
        let other_ring = TokenKeys::of(&ring(), "https://auth.example").unwrap();
        assert_eq!(keys.verify(&mint(&other_ring, OPERATOR, NOW), NOW), Err(TokenError::Invalid));
        let ring = ring();
        let here = TokenKeys::of(&ring, "https://auth.example").unwrap();
        let elsewhere = TokenKeys::of(&ring, "https://other.example").unwrap();
        assert_eq!(here.verify(&mint(&elsewhere, OPERATOR, NOW), NOW), Err(TokenError::Invalid));
    }

    #[test]
    fn an_altered_token_or_another_algorithm_is_refused() {
        let keys = TokenKeys::of(&ring(), "https://auth.example").unwrap();
        let token = mint(&keys, "1", NOW);
        let parts: Vec<&str> = token.split('.').collect();
        let claims = String::from_utf8(BASE64URL_NOPAD.decode(parts[1].as_bytes()).unwrap()).unwrap();
        let altered = BASE64URL_NOPAD.encode(claims.replace("\"1\"", "\"operator\"").as_bytes());
        let none = BASE64URL_NOPAD.encode(br#"{"alg":"none","typ":"at+jwt","kid":"x"}"#);
        let hmac = BASE64URL_NOPAD.encode(br#"{"alg":"HS256","typ":"at+jwt","kid":"x"}"#);
        let plain = BASE64URL_NOPAD.encode(
            format!(r#"{{"alg":"EdDSA","typ":"JWT","kid":"{}"}}"#, keys.drawn().known[0].0).as_bytes(),
        );
        for bad in [
            format!("{}.{altered}.{}", parts[0], parts[2]),
            format!("{none}.{}.", parts[1]),
            format!("{hmac}.{}.{}", parts[1], parts[2]),
            format!("{plain}.{}.{}", parts[1], parts[2]),
            "..".to_owned(),
            String::new(),
        ] {
            assert_eq!(keys.verify(&bad, NOW), Err(TokenError::Invalid), "{bad}");
        }
    }

    /// A token of this header and these claims under the ring's key of `purpose`.
    fn forged(ring: &KeyRing, purpose: SigningPurpose, header: &Value, claims: &Value) -> String {
        let signer = Signer::active(ring, purpose);
        let mut all = json!({ "alg": "EdDSA", "typ": TYPE, "kid": signer.key_id() });
        all.as_object_mut().unwrap().extend(header.as_object().unwrap().clone());
        let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
        let text = format!("{}.{}", part(&all), part(claims));
        let signature = BASE64URL_NOPAD.encode(&signer.sign(text.as_bytes()));
        format!("{text}.{signature}")
    }

    /// An offline license as it is issued.
    fn certificate(ring: &KeyRing) -> String {
        use domain::certificate::{Fingerprint, Issue, render};
        use domain::license::{Lease, License};
        let lease = Lease { id: uuid::Uuid::nil(), device_id: "pc".to_owned(), until: NOW.after(LIFETIME) };
        let fingerprint = Fingerprint::default();
        let issue =
            Issue { issuer: "https://auth.example", lease: &lease, at: NOW, fingerprint: &fingerprint };
        let signer = Signer::active(ring, SigningPurpose::Certificates);
        render(ring, &signer, &License::default(), &issue).unwrap()
    }

    /// What a token says that is good in every member.
    fn good() -> Value {
        let iat = NOW.ms() / 1_000;
        json!({ "iss": "https://auth.example", "aud": AUDIENCE, "sub": "1", "sid": LOCAL, "iat": iat, "exp": iat + 300 })
    }

    #[test]
    fn what_is_not_exactly_an_access_token_is_none() {
        let ring = ring();
        let keys = TokenKeys::of(&ring, "https://auth.example").unwrap();
        let access = SigningPurpose::AccessTokens;
        assert!(keys.verify(&forged(&ring, access, &json!({}), &good()), NOW).is_ok());
        let with = |member: &str, value: Value| {
            let mut claims = good();
            match value {
                Value::Null => drop(claims.as_object_mut().unwrap().remove(member)),
                value => claims[member] = value,
            }
            forged(&ring, access, &json!({}), &claims)
        };
        let iat = NOW.ms() / 1_000;
        let claims = [
            with("exp", json!((iat + 300).to_string())),
            with("exp", Value::Null),
            with("iat", json!("now")),
            with("iat", json!(iat + 3_600)),
            with("aud", json!("another")),
            with("aud", json!([AUDIENCE, "another"])),
            with("aud", Value::Null),
            with("iss", json!("https://evil.example")),
            with("iss", Value::Null),
            with("sub", Value::Null),
            with("sid", Value::Null),
            with("sid", json!(7)),
        ];
        let header = |header: Value| forged(&ring, access, &header, &good());
        let headers = [
            header(json!({ "typ": "JWT" })),
            header(json!({ "typ": "dca-license+jwt" })),
            header(json!({ "typ": null })),
            header(json!({ "kid": "another" })),
            header(json!({ "kid": null })),
            header(json!({ "alg": "none" })),
            header(json!({ "alg": "ES256" })),
            // Keys of this server, and for other things; the first is an offline license in every member.
            certificate(&ring),
            forged(&ring, SigningPurpose::Certificates, &json!({}), &good()),
            forged(&ring, SigningPurpose::Responses, &json!({}), &good()),
        ];
        for bad in claims.iter().chain(&headers) {
            assert_eq!(keys.verify(bad, NOW), Err(TokenError::Invalid), "{bad}");
        }
    }

    /// The public key as the secret of an HMAC: whoever picked the algorithm by the token's word would take it.
    #[test]
    fn a_public_key_is_no_secret() {
        let ring = ring();
        let keys = TokenKeys::of(&ring, "https://auth.example").unwrap();
        let signer = Signer::active(&ring, SigningPurpose::AccessTokens);
        let mut header = jsonwebtoken::Header::new(Algorithm::HS256);
        header.typ = Some(TYPE.to_owned());
        header.kid = Some(signer.key_id());
        for secret in
            [signer.public_key().to_vec(), BASE64URL_NOPAD.encode(&signer.public_key()).into_bytes()]
        {
            let key = jsonwebtoken::EncodingKey::from_secret(&secret);
            let token = jsonwebtoken::encode(&header, &good(), &key).unwrap();
            assert_eq!(keys.verify(&token, NOW), Err(TokenError::Invalid));
        }
    }
}
