//! Stands between the strategy and the server, reads the messages of the client, and breaks the connection at one of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// What happens at one message of the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Break {
    /// The connection ends before the server gets it.
    Before,
    /// The server gets it and answers, and the client does not get the answer.
    After,
    /// The server gets it, and the client waits for the answer without end.
    Hang,
    /// The server gets it when it has ended the session by itself.
    Late,
    /// The client gets rows without end in place of the answer.
    Flood,
    /// The client is asked for data in place of the answer.
    AskForData,
}

/// When a connection ends at a message.
pub(super) const MOMENTS: [Break; 2] = [Break::Before, Break::After];

/// Counts the messages of all connections.
pub(super) struct Proxy {
    pub(super) port: u16,
    seen: Arc<AtomicUsize>,
}

impl Proxy {
    /// In front of the server at `port`; breaks at the message of this number, counted from 0.
    pub(super) async fn start(port: u16, at: Option<(usize, Break)>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let proxy = Self { port: listener.local_addr()?.port(), seen: Arc::default() };
        let seen = Arc::clone(&proxy.seen);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let seen = Arc::clone(&seen);
                tokio::spawn(async move {
                    if let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await {
                        let _ = forward(client, server, &seen, at).await;
                    }
                });
            }
        });
        Ok(proxy)
    }

    /// How many messages the client has sent, apart from `Terminate`.
    pub(super) fn seen(&self) -> usize {
        self.seen.load(Ordering::SeqCst)
    }
}

async fn forward(client: TcpStream, mut server: TcpStream, seen: &AtomicUsize, at: Option<(usize, Break)>) -> Result<()> {
    let (from_client, mut to_client) = client.into_split();
    let (sender, mut messages) = mpsc::channel(16);
    tokio::spawn(read_all(from_client, sender));
    let mut buffer = vec![0; 65_536];
    loop {
        tokio::select! {
            read = server.read(&mut buffer) => match read? {
                0 => return Ok(()),
                read => to_client.write_all(&buffer[..read]).await?,
            },
            message = messages.recv() => {
                // The client is gone, and its session with it.
                let Some(message) = message else { return Ok(()) };
                if message.first() == Some(&b'X') {
                    // `Terminate`, which waits for no answer.
                    server.write_all(&message).await?;
                    continue;
                }
                let number = seen.fetch_add(1, Ordering::SeqCst);
                let Some((_, kind)) = at.filter(|(at, _)| *at == number) else {
                    server.write_all(&message).await?;
                    continue;
                };
                if kind == Break::Late {
                    while server.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
                }
                if kind != Break::Before {
                    server.write_all(&message).await?;
                }
                match kind {
                    Break::Before | Break::Late => {}
                    Break::After => drop(server.read(&mut buffer).await?),
                    Break::Hang => while messages.recv().await.is_some() {},
                    Break::Flood => loop {
                        to_client.write_all(b"D\0\0\0\x0b\0\x01\0\0\0\x01x").await?;
                    },
                    Break::AskForData => {
                        to_client.write_all(b"G\0\0\0\x07\0\0\0").await?;
                        while messages.recv().await.is_some() {}
                    }
                }
                return Ok(());
            }
        }
    }
}

/// The messages of the client, until it is gone. The first one has no tag.
async fn read_all(mut from: OwnedReadHalf, to: mpsc::Sender<Vec<u8>>) -> Result<()> {
    let mut header = 4;
    loop {
        let mut message = vec![0; header];
        from.read_exact(&mut message).await?;
        let length = message[header - 4..].try_into().map(u32::from_be_bytes)?;
        message.resize(header + usize::try_from(length)? - 4, 0);
        from.read_exact(&mut message[header..]).await?;
        to.send(message).await?;
        header = 5;
    }
}
