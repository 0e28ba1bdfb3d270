//! A connection, plaintext or TLS, as one type; and who is at its other end.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use rustls_pki_types::CertificateDer;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

/// An accepted connection.
pub struct Stream {
    io: Io,
    received: Arc<AtomicUsize>,
}

enum Io {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Who is at the other end of a connection; in each request's extensions.
#[derive(Clone, Debug)]
pub struct PeerInfo {
    /// The peer's address as the kernel gave it.
    pub address: Option<SocketAddr>,
    /// The peer's certificate chain, verified, its own certificate first; `None` on plaintext.
    pub certificates: Option<Arc<Vec<CertificateDer<'static>>>>,
}

/// The verified certificates of the peer that sent a request with these extensions, its own first.
///
/// The same `Arc` for all requests of one connection. `None` on plaintext.
pub fn peer_certificates(extensions: &http::Extensions) -> Option<Arc<Vec<CertificateDer<'static>>>> {
    extensions.get::<PeerInfo>()?.certificates.clone()
}

/// The address of the peer that sent a request with these extensions.
pub fn peer_address(extensions: &http::Extensions) -> Option<SocketAddr> {
    extensions.get::<PeerInfo>()?.address
}

impl Stream {
    /// A plaintext connection.
    pub fn plain(stream: TcpStream) -> Self {
        Self::new(Io::Plain(stream))
    }

    /// A connection whose TLS handshake is done.
    pub fn tls(stream: TlsStream<TcpStream>) -> Self {
        Self::new(Io::Tls(Box::new(stream)))
    }

    fn new(io: Io) -> Self {
        Self { io, received: Arc::default() }
    }

    /// Counts the bytes received: it tells a silent peer from one that speaks.
    pub(crate) fn received(&self) -> Arc<AtomicUsize> {
        self.received.clone()
    }
}

impl Connected for Stream {
    type ConnectInfo = PeerInfo;

    fn connect_info(&self) -> PeerInfo {
        match &self.io {
            Io::Plain(tcp) => PeerInfo { address: tcp.peer_addr().ok(), certificates: None },
            Io::Tls(tls) => {
                let (tcp, session) = tls.get_ref();
                let certificates = session.peer_certificates().map(|chain| Arc::new(chain.to_vec()));
                PeerInfo { address: tcp.peer_addr().ok(), certificates }
            }
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let polled = match &mut this.io {
            Io::Plain(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Io::Tls(tls) => Pin::new(tls).poll_read(cx, buf),
        };
        this.received.fetch_add(buf.filled().len() - before, Ordering::Relaxed);
        polled
    }
}

/// Not vectored: an answer of up to a KiB is then copied behind its headers, and goes out with its trailers in one write.
impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().io {
            Io::Plain(tcp) => Pin::new(tcp).poll_write(cx, buf),
            Io::Tls(tls) => Pin::new(tls).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().io {
            Io::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Io::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().io {
            Io::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Io::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}
