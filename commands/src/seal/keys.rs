//! A snapshot of data keys: what seals and opens the personal fields of one command or one batch. It never goes
//! to the store; what was not loaded into it cannot be used.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use data_encoding::BASE64URL_NOPAD;
use domain::id::StreamId;
use domain::ports::{Seal, SealError};
use domain::private::{SealContext, SealedText, Subject, Unsealed};
use zeroize::Zeroizing;

use super::aead::{self, KEY_BYTES};

/// One subject's key, unwrapped. Boxed, and wiped from memory with the last snapshot that holds it.
pub(super) struct DataKey {
    /// As in the row.
    pub(super) id: String,
    /// The key itself.
    pub(super) secret: Box<Zeroizing<[u8; KEY_BYTES]>>,
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DataKey({}, …)", self.id)
    }
}

/// The keys of the subjects that were asked for. It holds them as long as it lives, whatever the cache does, and
/// does not hear of an erasure: take one for each command or batch, and keep none longer than that.
#[derive(Debug, Clone, Default)]
pub struct Keys {
    /// `None` for a subject that was asked for and has no key.
    pub(super) held: BTreeMap<Subject, Option<Arc<DataKey>>>,
}

impl Keys {
    /// Whether the subject was asked for and has a key.
    pub fn has(&self, subject: &Subject) -> bool {
        self.held.get(subject).is_some_and(Option::is_some)
    }
}

impl Seal for Keys {
    fn seal(
        &self,
        subject: &Subject,
        context: SealContext<'_>,
        clear: &str,
    ) -> Result<SealedText, SealError> {
        let Some(Some(key)) = self.held.get(subject) else {
            return Err(SealError::NotLoaded(subject.clone()));
        };
        let body = aead::seal(&key.secret, &context.aad(), clear.as_bytes())
            .map_err(|reason| SealError::Failed { subject: subject.clone(), reason })?;
        let body = BASE64URL_NOPAD.encode(&body);
        Ok(SealedText::new(subject, &key.id, context.sequence, context.field, &body))
    }

    /// [`Unsealed::Erased`] if the subject has no key any more, or another one than the text was sealed under.
    fn unseal(&self, stream: &StreamId, sealed: &SealedText) -> Unsealed {
        let Some(parts) = sealed.parts() else {
            return Unsealed::Damaged;
        };
        let key = match self.held.get(&parts.subject) {
            Some(Some(key)) if key.id == parts.key_id => key,
            Some(_) => return Unsealed::Erased,
            None => {
                // Not "erased": a caller that forgot to load a key must not make a person look erased.
                tracing::error!(subject = %parts.subject, "a field was to be opened whose key was not loaded");
                return Unsealed::Damaged;
            }
        };
        let aad = SealContext { stream, sequence: parts.sequence, field: parts.field }.aad();
        let clear = BASE64URL_NOPAD.decode(parts.body.as_bytes()).ok();
        let clear = clear.and_then(|body| aead::open(&key.secret, &aad, &body));
        let clear = clear.and_then(|bytes| String::from_utf8(bytes).ok());
        clear.map_or(Unsealed::Damaged, Unsealed::Clear)
    }
}
