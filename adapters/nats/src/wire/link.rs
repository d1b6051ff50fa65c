//! One connection, kept: connect, serve, notice that it is gone, connect again.

use core::future::{Future as _, poll_fn};
use core::pin::{Pin, pin};
use core::task::{Context, Poll, ready};
use core::time::Duration;

use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::connect::{Connected, connect};
use super::frame::{Frame, parse};
use super::servers::{Rota, Server};
use super::socket::Socket;
use super::{ConnectError, Message, Outbox, ServerInfo, Servers};

/// What a connection is for. All methods are called from one task.
pub(crate) trait Handler {
    /// A connection is ready; nothing that was sent on an earlier one is on its way any more.
    fn connected(&mut self, now: Instant, server: &ServerInfo, out: &mut Outbox);

    /// The connection is gone. What was handed to it and not answered may have arrived or not.
    fn disconnected(&mut self, now: Instant);

    /// A server could not be reached.
    fn unreachable(&mut self, error: &ConnectError);

    /// A message of one of the subscriptions.
    fn message(&mut self, now: Instant, message: &Message<'_>, out: &mut Outbox);

    /// The server complained (`-ERR`).
    fn complaint(&mut self, text: &str) {
        tracing::warn!(text, "the NATS server reports an error");
    }

    /// Everything that was there has been read, a timer ran out, or the waker of `cx` was called.
    /// `out` is there while connected.
    fn turn(&mut self, cx: &mut Context<'_>, moment: Moment, out: Option<&mut Outbox>) -> Turn;
}

/// When something happens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) now: Instant,
    /// Everything that the server had sent is read: silence is the server's, not ours.
    pub(crate) drained: bool,
}

/// What a handler wants.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    /// Call [`Handler::turn`] again at this time.
    pub(crate) wake_at: Option<Instant>,
    /// Something is expected from the server: silence means that the connection is dead.
    pub(crate) waiting: bool,
    pub(crate) next: Next,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Next {
    Go,
    /// Give this connection up and make a new one.
    Reconnect,
    /// End; what is in the outbox is still written if the socket takes it at once.
    Close,
}

/// Bytes read at once: large enough to save system calls, small enough to stay in the cache.
const READ_BYTES: usize = 256 << 10;
/// Reads in a row before other tasks of the thread get their turn (L4).
const READS_IN_A_ROW: u32 = 2;
/// Silence after which an expectant connection is asked whether it lives.
const PROBE_WAITING: Duration = Duration::from_millis(700);
/// Silence after which an idle connection is asked.
const PROBE_IDLE: Duration = Duration::from_secs(10);
/// Silence after the question that means: dead.
const PROBE_ANSWER: Duration = Duration::from_millis(1_000);
/// Waiting time between attempts to connect.
const BACKOFF_FIRST: Duration = Duration::from_millis(10);
const BACKOFF_MAX: Duration = Duration::from_millis(500);

/// Keeps a connection until the handler closes it.
pub(crate) async fn run<H: Handler>(handler: &mut H, servers: &Servers, name: &str) {
    let mut rota = Rota::default();
    let mut backoff = BACKOFF_FIRST;
    let mut out = Outbox::default();
    let mut refusals = Refusals::default();
    loop {
        let connected = match connecting(handler, servers, &mut rota, name).await {
            Some(Ok(connected)) => connected,
            Some(Err(error)) => {
                refusals.tell(&error);
                handler.unreachable(&error);
                if waiting(handler, Instant::now() + backoff).await == Next::Close {
                    return;
                }
                backoff = (backoff * 2).min(BACKOFF_MAX);
                continue;
            }
            None => return,
        };
        backoff = BACKOFF_FIRST;
        refusals = Refusals::default();
        out.clear();
        handler.connected(Instant::now(), &connected.info, &mut out);
        let mut served = Served::new(connected, servers);
        let next = poll_fn(|cx| served.poll(cx, handler, &mut out)).await;
        drop(served);
        out.clear();
        if next == Next::Close {
            return;
        }
        handler.disconnected(Instant::now());
        rota.again();
    }
}

/// Most different refusals that are told between two connections.
const REFUSALS_MAX: usize = 8;

/// Tells of what does not pass by itself, and of each such thing once.
#[derive(Default)]
struct Refusals {
    told: Vec<ConnectError>,
}

impl Refusals {
    fn tell(&mut self, error: &ConnectError) {
        if matches!(error, ConnectError::Unreachable(_))
            || self.told.contains(error)
            || REFUSALS_MAX <= self.told.len()
        {
            return;
        }
        tracing::warn!(%error, "there is no connection to NATS");
        self.told.push(error.clone());
    }
}

/// One attempt to connect, while the handler is served; `None` when it closes.
async fn connecting<H: Handler>(
    handler: &mut H,
    servers: &Servers,
    rota: &mut Rota,
    name: &str,
) -> Option<Result<Connected, ConnectError>> {
    let Some(server) = rota.next(servers) else {
        let error = ConnectError::Unreachable("no server is given".into());
        return Some(Err(error));
    };
    let mut connecting = pin!(connect(servers, server, name));
    let mut alarm = Alarm::new();
    poll_fn(|cx| {
        if let Poll::Ready(result) = connecting.as_mut().poll(cx) {
            return Poll::Ready(Some(result));
        }
        loop {
            let moment = Moment {
                now: Instant::now(),
                drained: true,
            };
            let turn = handler.turn(cx, moment, None);
            if turn.next == Next::Close {
                return Poll::Ready(None);
            }
            ready!(alarm.poll(cx, turn.wake_at));
        }
    })
    .await
}

/// Waits without a connection until `until`, while the handler is served.
async fn waiting<H: Handler>(handler: &mut H, until: Instant) -> Next {
    let mut alarm = Alarm::new();
    poll_fn(|cx| {
        loop {
            let moment = Moment {
                now: Instant::now(),
                drained: true,
            };
            let turn = handler.turn(cx, moment, None);
            if turn.next == Next::Close {
                return Poll::Ready(Next::Close);
            }
            if until <= moment.now {
                return Poll::Ready(Next::Go);
            }
            let at = turn.wake_at.map_or(until, |at| at.min(until));
            ready!(alarm.poll(cx, Some(at)));
        }
    })
    .await
}

/// An established connection.
struct Served<'a> {
    servers: &'a Servers,
    server: Server,
    socket: Socket,
    /// Bytes `start..end` are read and not parsed.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    frame_max: usize,
    /// When the server was last heard.
    heard: Instant,
    /// When it was asked whether it lives, if it has not been heard since.
    asked: Option<Instant>,
    alarm: Alarm,
}

impl<'a> Served<'a> {
    fn new(connected: Connected, servers: &'a Servers) -> Self {
        let end = connected.rest.len();
        let mut buffer = connected.rest;
        buffer.resize(READ_BYTES.max(end), 0);
        Self {
            servers,
            server: connected.server,
            socket: connected.socket,
            buffer,
            start: 0,
            end,
            // The server adds fields of its own to a message at the limit.
            frame_max: connected.info.max_payload.max(1 << 20) + (64 << 10),
            heard: Instant::now(),
            asked: None,
            alarm: Alarm::new(),
        }
    }

    /// Ready when the connection is over: why.
    fn poll<H: Handler>(
        &mut self,
        cx: &mut Context<'_>,
        handler: &mut H,
        out: &mut Outbox,
    ) -> Poll<Next> {
        let mut reads = 0;
        loop {
            let read = match self.poll_read(cx) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Next::Reconnect),
                Poll::Ready(Ok(_)) => true,
                Poll::Ready(Err(error)) => {
                    tracing::debug!(%error, "the NATS connection failed");
                    return Poll::Ready(Next::Reconnect);
                }
                Poll::Pending => false,
            };
            let now = Instant::now();
            if read {
                self.heard = now;
                self.asked = None;
                match self.frames(now, handler, out) {
                    Ok(Next::Go) => {}
                    Ok(next) => return Poll::Ready(next),
                    Err(error) => {
                        tracing::warn!(%error, "the NATS connection is given up");
                        return Poll::Ready(Next::Reconnect);
                    }
                }
            }
            let turn = handler.turn(
                cx,
                Moment {
                    now,
                    drained: !read,
                },
                Some(out),
            );
            if turn.next == Next::Reconnect {
                return Poll::Ready(Next::Reconnect);
            }
            let Some(probe_at) = self.probe(now, turn.waiting, out) else {
                tracing::warn!("the NATS connection is silent: connecting again");
                return Poll::Ready(Next::Reconnect);
            };
            if self.poll_write(cx, out).is_err() {
                return Poll::Ready(Next::Reconnect);
            }
            if turn.next == Next::Close {
                return Poll::Ready(Next::Close);
            }
            reads += 1;
            if read && reads < READS_IN_A_ROW {
                continue;
            }
            if read {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let at = turn.wake_at.map_or(probe_at, |at| at.min(probe_at));
            ready!(self.alarm.poll(cx, Some(at)));
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<usize>> {
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        } else if self.buffer.len() - self.end < READ_BYTES / 4 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
            // A frame larger than the buffer: `frames` has checked its size against the limit.
            if self.buffer.len() - self.end < READ_BYTES / 4 {
                self.buffer.resize(self.buffer.len() * 2, 0);
            }
        }
        let mut into = ReadBuf::new(&mut self.buffer[self.end..]);
        ready!(Pin::new(&mut self.socket).poll_read(cx, &mut into))?;
        let count = into.filled().len();
        self.end += count;
        Poll::Ready(Ok(count))
    }

    /// Handles every complete frame that was read.
    fn frames<H: Handler>(
        &mut self,
        now: Instant,
        handler: &mut H,
        out: &mut Outbox,
    ) -> Result<Next, super::frame::ProtocolError> {
        let mut next = Next::Go;
        while let Some((frame, len)) = parse(&self.buffer[self.start..self.end], self.frame_max)? {
            match frame {
                Frame::Message(message) => handler.message(now, &message, out),
                Frame::Ping => out.pong(),
                Frame::Err(text) => handler.complaint(text),
                Frame::Info(json) => {
                    if told(self.servers, &self.server, json) {
                        next = Next::Reconnect;
                    }
                }
                Frame::Pong | Frame::Ok => {}
            }
            self.start += len;
        }
        // A large message must not pin its memory for good.
        if self.start == self.end && 4 * READ_BYTES < self.buffer.len() {
            self.buffer = vec![0; READ_BYTES];
            self.start = 0;
            self.end = 0;
        }
        Ok(next)
    }

    /// Asks a silent server whether it lives. When to look again; `None` when it is dead.
    fn probe(&mut self, now: Instant, waiting: bool, out: &mut Outbox) -> Option<Instant> {
        let patience = if waiting { PROBE_WAITING } else { PROBE_IDLE };
        match self.asked {
            Some(asked) if asked + PROBE_ANSWER <= now => None,
            Some(asked) => Some(asked + PROBE_ANSWER),
            None if self.heard + patience <= now => {
                out.ping();
                self.asked = Some(now);
                Some(now + PROBE_ANSWER)
            }
            None => Some(self.heard + patience),
        }
    }

    /// Writes what the socket takes now.
    fn poll_write(&mut self, cx: &mut Context<'_>, out: &mut Outbox) -> std::io::Result<()> {
        while !out.pending().is_empty() {
            match Pin::new(&mut self.socket).poll_write(cx, out.pending()) {
                Poll::Ready(Ok(0)) => return Err(std::io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(count)) => out.written(count),
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => break,
            }
        }
        // TLS may have taken bytes that the socket has not.
        match Pin::new(&mut self.socket).poll_flush(cx) {
            Poll::Ready(Err(error)) => Err(error),
            Poll::Ready(Ok(())) | Poll::Pending => Ok(()),
        }
    }
}

/// Takes over news of a server; whether it wants us to leave, and there is somewhere to go.
#[cold]
fn told(servers: &Servers, server: &Server, json: &[u8]) -> bool {
    let Ok(info) = serde_json::from_slice::<ServerInfo>(json) else {
        return false;
    };
    servers.learn(&info.connect_urls, server, true);
    let leave = info.ldm && 1 < servers.count();
    if leave {
        tracing::info!(%server, "the NATS server is about to end: connecting to another one");
    }
    leave
}

/// A timer that is only touched when its time changes.
struct Alarm {
    at: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Alarm {
    const fn new() -> Self {
        Self {
            at: None,
            sleep: None,
        }
    }

    /// Ready when `at` has passed.
    fn poll(&mut self, cx: &mut Context<'_>, at: Option<Instant>) -> Poll<()> {
        let Some(at) = at else {
            return Poll::Pending;
        };
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if self.at != Some(at) {
            self.at = Some(at);
            sleep.as_mut().reset(at);
        }
        ready!(sleep.as_mut().poll(cx));
        self.at = None;
        Poll::Ready(())
    }
}
