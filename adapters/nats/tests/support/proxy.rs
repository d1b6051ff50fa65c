//! A TCP proxy that can cut connections and swallow bytes.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// Forwards to a port of this machine.
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    /// Connections with a lower number are black holes: open, and silent in both directions.
    swallow_below: AtomicU64,
    /// Bytes from the server until all connections are cut; negative: never.
    budget: AtomicI64,
    connections: Mutex<Vec<TcpStream>>,
    count: AtomicU64,
    closed: AtomicBool,
}

impl Proxy {
    pub fn start(target: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        let shared = Arc::new(Shared {
            swallow_below: AtomicU64::new(0),
            budget: AtomicI64::new(i64::MIN),
            connections: Mutex::new(Vec::new()),
            count: AtomicU64::new(0),
            closed: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if accepting.closed.load(Ordering::Acquire) {
                    return;
                }
                let Ok(server) = TcpStream::connect(("127.0.0.1", target)) else {
                    continue;
                };
                let number = accepting.count.fetch_add(1, Ordering::AcqRel);
                let ends = [(&client, &server, false), (&server, &client, true)];
                for (from, to, counted) in ends {
                    let (Ok(from), Ok(to)) = (from.try_clone(), to.try_clone()) else {
                        continue;
                    };
                    let shared = Arc::clone(&accepting);
                    std::thread::spawn(move || forward(&shared, number, from, to, counted));
                }
                let mut connections = accepting.connections.lock().expect("not poisoned");
                connections.extend([client, server]);
            }
        });
        Self { port, shared }
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// The connections that exist become black holes; new ones work.
    pub fn black_hole(&self) {
        let count = self.shared.count.load(Ordering::Acquire);
        self.shared.swallow_below.store(count, Ordering::Release);
    }

    /// Cuts all connections after this many further bytes from the server.
    pub fn cut_after(&self, bytes: u64) {
        let bytes = i64::try_from(bytes).expect("a small number");
        self.shared.budget.store(bytes, Ordering::Release);
    }
}

impl Shared {
    fn cut(&self) {
        for stream in self.connections.lock().expect("not poisoned").drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Release);
        self.shared.cut();
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn forward(shared: &Shared, number: u64, mut from: TcpStream, mut to: TcpStream, counted: bool) {
    let mut buffer = [0; 16 << 10];
    loop {
        let count = match from.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(count) => count,
        };
        if number < shared.swallow_below.load(Ordering::Acquire) {
            continue;
        }
        let mut send = count;
        let mut cut = false;
        if counted && 0 <= shared.budget.load(Ordering::Acquire) {
            let bytes = i64::try_from(count).expect("a small number");
            let left = shared.budget.fetch_sub(bytes, Ordering::AcqRel) - bytes;
            if left < 0 {
                cut = true;
                // Up to the budget, so that the cut falls into a frame.
                send = usize::try_from((bytes + left).max(0)).expect("a small number");
                shared.budget.store(i64::MIN, Ordering::Release);
            }
        }
        if to.write_all(&buffer[..send]).is_err() || cut {
            if cut {
                shared.cut();
            }
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
