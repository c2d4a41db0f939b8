//! TLS as it comes over the network: a handshake takes a place like any connection, holds up nobody else, and ends in time.

use std::sync::Arc;
use std::time::Duration;

use api::{Certificate, CertificateError, Connections, Renewal, Tls};
use rcgen::{CertificateParams, CertifiedKey, KeyPair, generate_simple_self_signed};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, HandshakeKind, RootCertStore};
use tokio_util::sync::CancellationToken;

use crate::world::World;

/// How long anything may take under the load of all tests.
const PATIENCE: Duration = Duration::from_secs(30);

/// A certificate that vouches for itself.
fn made() -> (Certificate, CertificateDer<'static>) {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate =
        Certificate::read(cert.pem().as_bytes(), signing_key.serialize_pem().as_bytes()).unwrap();
    assert_eq!(certificate.der(), &cert.der()[..]);
    (certificate, cert.der().clone())
}

fn trusting(certificates: &[&CertificateDer<'static>]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    for own in certificates {
        roots.add((*own).clone()).unwrap();
    }
    ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()
}

struct Site {
    _world: World,
    address: std::net::SocketAddr,
    own: CertificateDer<'static>,
    renewal: Renewal,
    closing: CancellationToken,
    served: tokio::task::JoinHandle<()>,
}

impl Site {
    async fn start(connections: Connections) -> Self {
        let (certificate, own) = made();
        let (tls, renewal) = Tls::new(&certificate);
        let world = World::bare(crate::world::Config::default()).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, closing) = (listener.local_addr().unwrap(), CancellationToken::new());
        let service = world.router.clone();
        let served = tokio::spawn(api::serve(listener, service, connections, Some(tls), closing.clone()));
        Self { _world: world, address, own, renewal, closing, served }
    }

    /// A handshake, which the other side may never answer.
    async fn connect(&self, alpn: &[&str]) -> std::io::Result<TlsStream<TcpStream>> {
        let mut config = trusting(&[&self.own]);
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        self.connect_as(&Arc::new(config)).await
    }

    /// The same by a client that remembers its sessions.
    async fn connect_as(&self, client: &Arc<ClientConfig>) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::clone(client)).connect(name, stream).await
    }

    async fn silent(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }
}

async fn ask(stream: &mut TlsStream<TcpStream>) -> String {
    stream.write_all(b"GET /live HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut bytes = vec![0; 4096];
    let read = tokio::time::timeout(PATIENCE, stream.read(&mut bytes)).await.expect("an answer").unwrap();
    String::from_utf8_lossy(&bytes[..read]).into_owned()
}

#[tokio::test]
async fn a_handshake_that_does_not_go_on_holds_up_nobody_and_ends() {
    let connections = Connections { handshake_timeout: Duration::from_secs(3_600), ..Connections::default() };
    let site = Site::start(connections).await;
    let silent = [site.silent().await, site.silent().await];
    let mut stream = site.connect(&["http/1.1"]).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    assert!(ask(&mut stream).await.starts_with("HTTP/1.1 200 OK\r\n"));
    assert!(site.connect(&["h2"]).await.is_err(), "nothing but HTTP/1.1 is spoken");
    // The end of the process waits for neither of them.
    site.closing.cancel();
    drop(stream);
    tokio::time::timeout(PATIENCE, site.served).await.expect("it ends").unwrap();
    drop(silent);
}

#[tokio::test]
async fn a_handshake_takes_a_place_and_gives_it_back_in_time() {
    let connections =
        Connections { max: 1, handshake_timeout: Duration::from_millis(200), ..Connections::default() };
    let site = Site::start(connections).await;
    let mut silent = site.silent().await;
    // Waits until the silent one has gone.
    let mut stream = tokio::time::timeout(PATIENCE, site.connect(&[])).await.expect("a place").unwrap();
    assert!(ask(&mut stream).await.starts_with("HTTP/1.1 200 OK\r\n"));
    assert_eq!(silent.read(&mut [0]).await.unwrap(), 0, "closed without a word");
}

#[tokio::test]
async fn a_session_that_began_with_another_certificate_is_not_resumed() {
    let site = Site::start(Connections::default()).await;
    let (fresh, own) = made();
    let client = Arc::new(trusting(&[&site.own, &own]));
    let shaken = async || {
        let mut stream = site.connect_as(&client).await.unwrap();
        // What the next session is resumed with comes before the answer.
        assert!(ask(&mut stream).await.starts_with("HTTP/1.1 200 OK\r\n"));
        let (_, connection) = stream.get_ref();
        (connection.handshake_kind().unwrap(), connection.peer_certificates().unwrap()[0].clone())
    };
    assert_eq!(shaken().await, (HandshakeKind::Full, site.own.clone()));
    assert_eq!(shaken().await, (HandshakeKind::Resumed, site.own.clone()));
    site.renewal.replace(&fresh);
    assert_eq!(shaken().await, (HandshakeKind::Full, own));
}

#[test]
fn a_pair_that_is_of_no_use_says_which_file_and_why() {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap().pem();
    let (key, other) = (key.serialize_pem(), KeyPair::generate().unwrap().serialize_pem());
    let read = |chain: &str, key: &str| Certificate::read(chain.as_bytes(), key.as_bytes()).map(|_| ());
    assert_eq!(read(&certificate, &key), Ok(()));
    assert_eq!(read(&format!("a comment\n{certificate}\n{certificate}"), &key), Ok(()));
    // Both in one file, as some programs write them.
    assert_eq!(read(&format!("{key}{certificate}"), &format!("{certificate}{key}")), Ok(()));
    assert_eq!(read("", &key), Err(CertificateError::NoCertificate));
    assert_eq!(read(&certificate, ""), Err(CertificateError::NoKey));
    assert_eq!(read(&certificate, &other), Err(CertificateError::Mismatch));
    let sealed = other.replace("PRIVATE", "ENCRYPTED PRIVATE");
    assert_eq!(read(&certificate, &sealed), Err(CertificateError::SealedKey));
    let cut = read(&certificate[..certificate.len() / 2], &key).unwrap_err();
    assert!(cut.is_about_certificate() && cut.to_string().ends_with("it has no end"), "{cut}");
    let cut = read(&certificate, &key[..key.len() / 2]).unwrap_err();
    assert!(!cut.is_about_certificate() && cut.to_string().ends_with("it has no end"), "{cut}");
    let strange = read("-----BEGIN CERTIFICATE-----\n????\n-----END CERTIFICATE-----\n", &key).unwrap_err();
    assert!(strange.to_string().ends_with("it is not PEM"), "{strange}");
}
