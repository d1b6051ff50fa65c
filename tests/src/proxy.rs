//! A small TCP proxy in front of a NATS server that can do harm: cut, swallow, drop deliveries.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::frames::Frames;

/// A proxy on a free port of 127.0.0.1. Dropping it cuts everything and stops listening.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    harm: watch::Sender<Harm>,
    listener: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Shared {
    connections: AtomicU64,
    /// Deliveries that are still to be dropped, and how many were.
    to_drop: AtomicU32,
    dropped: AtomicU64,
    /// Deliveries that passed.
    passed: AtomicU64,
}

/// What has happened to connections so far; each compares with what it saw when it began.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Harm {
    cuts: u64,
    holes: u64,
}

impl Proxy {
    /// Listens, and connects everybody who comes to `target`, a port of 127.0.0.1.
    ///
    /// # Errors
    /// No port could be opened.
    pub async fn start(target: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared::default());
        let (harm, seen) = watch::channel(Harm::default());
        let target = SocketAddr::from((Ipv4Addr::LOCALHOST, target));
        let listener = tokio::spawn(listen(listener, target, Arc::clone(&shared), seen));
        Ok(Self {
            port,
            shared,
            harm,
            listener,
        })
    }

    /// `nats://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Closes every connection now. New ones get through.
    pub fn cut(&self) {
        self.harm.send_modify(|harm| harm.cuts += 1);
    }

    /// Every connection stays open and carries nothing any more, in neither direction, as behind a
    /// router that forgot it. New ones get through.
    pub fn black_hole(&self) {
        self.harm.send_modify(|harm| harm.holes += 1);
    }

    /// Drops the next `count` deliveries of stored messages, whole and without a trace.
    pub fn drop_deliveries(&self, count: u32) {
        self.shared.to_drop.fetch_add(count, Ordering::Relaxed);
    }

    /// Connections that were opened so far.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Deliveries that were dropped so far.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    /// Deliveries that passed so far.
    #[must_use]
    pub fn passed(&self) -> u64 {
        self.shared.passed.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listener.abort();
        self.cut();
    }
}

async fn listen(
    listener: TcpListener,
    target: SocketAddr,
    shared: Arc<Shared>,
    harm: watch::Receiver<Harm>,
) {
    while let Ok((client, _)) = listener.accept().await {
        let Ok(server) = TcpStream::connect(target).await else {
            // The server is down: the client sees a connection that closes at once.
            continue;
        };
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        shared.connections.fetch_add(1, Ordering::Relaxed);
        let (shared, mut harm) = (Arc::clone(&shared), harm.clone());
        tokio::spawn(async move {
            let before = *harm.borrow_and_update();
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            let mut up = pin!(pump(from_client, to_server));
            let mut down = pin!(pump_deliveries(from_server, to_client, shared));
            // Swallowed, the pumps stay where they are: dropping them would close the sockets.
            let mut swallowed = false;
            loop {
                tokio::select! {
                    () = &mut up, if !swallowed => break,
                    () = &mut down, if !swallowed => break,
                    changed = harm.changed() => {
                        let seen = *harm.borrow_and_update();
                        if changed.is_err() || seen.cuts != before.cuts {
                            break;
                        }
                        swallowed |= seen.holes != before.holes;
                    }
                }
            }
        });
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        if to.write_all(&buffer[..read]).await.is_err() {
            break;
        }
    }
}

/// As [`pump`], frame by frame, so that whole deliveries can be left out.
async fn pump_deliveries(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, shared: Arc<Shared>) {
    let mut buffer = vec![0; 64 << 10];
    let mut frames = Frames::default();
    let mut out = Vec::new();
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        out.clear();
        frames.feed(&buffer[..read], &mut out, || {
            let drop = |left: u32| left.checked_sub(1);
            let (set, get) = (Ordering::Relaxed, Ordering::Relaxed);
            let dropped = shared.to_drop.fetch_update(set, get, drop).is_ok();
            let count = if dropped {
                &shared.dropped
            } else {
                &shared.passed
            };
            count.fetch_add(1, Ordering::Relaxed);
            !dropped
        });
        if to.write_all(&out).await.is_err() {
            break;
        }
    }
}
