//! A certificate with its key, read from PEM (RFC 7468) and found to belong together. No file is opened here, and nothing
//! says what a key is.

use std::sync::Arc;

use domain::time::Timestamp;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use tokio_rustls::rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio_rustls::rustls::{Error, InconsistentKeys, ServerConfig, version};
use x509_cert::der::Decode as _;

/// The only protocol that is spoken over it.
const ALPN: &[u8] = b"http/1.1";
/// How a key begins that is sealed with a password (PKCS #8, and the form of older programs).
const SEALED: [&str; 2] = ["-----BEGIN ENCRYPTED PRIVATE KEY-----", "Proc-Type: 4,ENCRYPTED"];

/// Why a certificate and a key cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// There is none.
    #[error("holds no certificate")]
    NoCertificate,
    /// It is damaged, or of a form that nobody would take.
    #[error("holds a certificate that cannot be read: {0}")]
    Unreadable(String),
    /// There is none.
    #[error("holds no private key")]
    NoKey,
    /// It is sealed with a password.
    #[error("holds a private key that is encrypted with a password")]
    SealedKey,
    /// It is damaged, or of a kind that TLS 1.3 does not have.
    #[error("holds a private key that cannot be used: {0}")]
    UnusableKey(String),
    /// The key is that of another certificate.
    #[error("holds the private key of another certificate")]
    Mismatch,
}

impl CertificateError {
    /// Whether it is the certificate that is wrong, and not the key.
    pub fn is_about_certificate(&self) -> bool {
        match self {
            Self::NoCertificate | Self::Unreadable(_) => true,
            Self::NoKey | Self::SealedKey | Self::UnusableKey(_) | Self::Mismatch => false,
        }
    }

    /// What mends it.
    pub fn help(&self) -> &'static str {
        match self {
            Self::NoCertificate | Self::Unreadable(_) => {
                "It must hold the server's certificate and after it those of its issuers, in PEM, each beginning with \
                 `-----BEGIN CERTIFICATE-----`."
            }
            Self::NoKey | Self::UnusableKey(_) => {
                "It must hold a private key in PEM, RSA of 2048 bits and more, ECDSA on P-256 or P-384, or Ed25519, beginning \
                 with `-----BEGIN PRIVATE KEY-----`."
            }
            Self::SealedKey => {
                "Write it without the password, for example with `openssl pkey -in KEY -out PLAIN`, readable by its owner \
                 only."
            }
            Self::Mismatch => {
                "Name the key that the certificate was asked for with. In the certificate's file the server's own one must be \
                 the first."
            }
        }
    }
}

/// A certificate with its key.
#[derive(Debug, Clone)]
pub struct Certificate {
    config: Arc<ServerConfig>,
    own: CertificateDer<'static>,
    end: Option<Timestamp>,
}

impl Certificate {
    /// Reads the chain, the server's own certificate first, and the key, both in PEM.
    ///
    /// # Errors
    /// [`CertificateError`] if one of them is missing, cannot be used, or does not belong to the other.
    pub fn read(chain: &[u8], key: &[u8]) -> Result<Self, CertificateError> {
        let chain = CertificateDer::pem_slice_iter(chain).collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(|error| CertificateError::Unreadable(damage(&error).to_owned()))?;
        let own = chain.first().cloned().ok_or(CertificateError::NoCertificate)?;
        let provider = Arc::new(ring::default_provider());
        let pair = CertifiedKey::from_der(chain, private_key(key)?, &provider).map_err(mispaired)?;
        let config =
            config(provider, pair).map_err(|error| CertificateError::UnusableKey(error.to_string()))?;
        Ok(Self { config: Arc::new(config), end: end(&own), own })
    }

    /// The server's own certificate, in DER: what a client sees that is to take no other one.
    pub fn der(&self) -> &[u8] {
        &self.own
    }

    /// When it ends; `None` if that cannot be read, which its clients judge.
    pub fn end(&self) -> Option<Timestamp> {
        self.end
    }

    pub(super) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }
}

fn private_key(text: &[u8]) -> Result<PrivateKeyDer<'static>, CertificateError> {
    PrivateKeyDer::from_pem_slice(text).map_err(|error| {
        let shown = String::from_utf8_lossy(text);
        match error {
            _ if SEALED.iter().any(|mark| shown.contains(mark)) => CertificateError::SealedKey,
            pem::Error::NoItemsFound => CertificateError::NoKey,
            other => CertificateError::UnusableKey(damage(&other).to_owned()),
        }
    })
}

/// What is wrong with a text as PEM, without a word of it.
fn damage(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::MissingSectionEnd { .. } => "it has no end",
        _ => "it is not PEM",
    }
}

/// What two files have to do with each other that each can be read.
fn mispaired(error: Error) -> CertificateError {
    match error {
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => CertificateError::Mismatch,
        Error::InvalidCertificate(reason) => CertificateError::Unreadable(format!("{reason:?}")),
        other => CertificateError::UnusableKey(other.to_string()),
    }
}

/// TLS 1.3 and nothing before it, HTTP/1.1, no data before the handshake has ended: what comes that early can be sent twice.
fn config(provider: Arc<CryptoProvider>, pair: CertifiedKey) -> Result<ServerConfig, Error> {
    let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(&[&version::TLS13])?;
    let resolver = Arc::new(SingleCertAndKey::from(pair));
    let mut config = builder.with_no_client_auth().with_cert_resolver(resolver);
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(config)
}

fn end(certificate: &[u8]) -> Option<Timestamp> {
    let certificate = x509_cert::Certificate::from_der(certificate).ok()?;
    let end = certificate.tbs_certificate().validity().not_after.to_unix_duration();
    i64::try_from(end.as_millis()).ok().map(Timestamp)
}
