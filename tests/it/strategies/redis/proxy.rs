//! Stands between the strategy and the server, reads the commands of the client, and interferes at one of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// What happens at one command of the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Break {
    /// The connection ends before the server gets it.
    Before,
    /// The server gets it and answers, and the client does not get the answer.
    After,
    /// The server gets it, and the client waits for the answer without end.
    Hang,
    /// The client gets texts without end in place of the answer.
    Flood,
    /// The server gets it late: when the test says so.
    Late,
}

/// When a connection ends at a command.
pub(super) const MOMENTS: [Break; 2] = [Break::Before, Break::After];

/// Counts the commands of all connections.
pub(super) struct Proxy {
    pub(super) port: u16,
    seen: Arc<AtomicUsize>,
    /// The command that is late has come.
    pub(super) held: Arc<Notify>,
    /// It may go on.
    pub(super) release: Arc<Notify>,
}

impl Proxy {
    /// In front of the server at `port`; interferes at the command of this number, counted from 0.
    pub(super) async fn start(port: u16, at: Option<(usize, Break)>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (seen, held, release) = (Arc::<AtomicUsize>::default(), Arc::<Notify>::default(), Arc::<Notify>::default());
        let proxy = Self { port: listener.local_addr()?.port(), seen: seen.clone(), held: held.clone(), release: release.clone() };
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (seen, held, release) = (seen.clone(), held.clone(), release.clone());
                tokio::spawn(async move {
                    let server = TcpStream::connect(("127.0.0.1", port)).await?;
                    forward(client, server, &seen, at, [&held, &release]).await
                });
            }
        });
        Ok(proxy)
    }

    /// How many commands the client has sent.
    pub(super) fn seen(&self) -> usize {
        self.seen.load(Ordering::SeqCst)
    }
}

/// One command, one reply: the client waits for each.
async fn forward(
    client: TcpStream,
    mut server: TcpStream,
    seen: &AtomicUsize,
    at: Option<(usize, Break)>,
    [held, release]: [&Notify; 2],
) -> Result<()> {
    let mut client = BufReader::new(client);
    let mut buffer = vec![0; 65_536];
    loop {
        let command = command(&mut client).await?;
        let number = seen.fetch_add(1, Ordering::SeqCst);
        match at.filter(|(at, _)| *at == number).map(|(_, kind)| kind) {
            None => server.write_all(&command).await?,
            Some(Break::Before) => return Ok(()),
            Some(Break::After) => {
                server.write_all(&command).await?;
                return Ok(server.read(&mut buffer).await.map(|_| ())?);
            }
            Some(Break::Hang) => {
                server.write_all(&command).await?;
                return Ok(client.read(&mut buffer).await.map(|_| ())?);
            }
            Some(Break::Flood) => {
                server.write_all(&command).await?;
                client.write_all(b"*4096\r\n").await?;
                loop {
                    client.write_all(b"$1000\r\n").await?;
                    client.write_all(&[b'x'; 1000]).await?;
                    client.write_all(b"\r\n").await?;
                }
            }
            Some(Break::Late) => {
                held.notify_one();
                release.notified().await;
                server.write_all(&command).await?;
            }
        }
        let read = server.read(&mut buffer).await?;
        client.write_all(&buffer[..read]).await?;
    }
}

async fn command(client: &mut BufReader<TcpStream>) -> Result<Vec<u8>> {
    let mut command = Vec::new();
    let words = line(client, &mut command).await?;
    for _ in 0..words {
        let length = line(client, &mut command).await?;
        let mut word = vec![0; length + 2];
        client.read_exact(&mut word).await?;
        command.extend(word);
    }
    Ok(command)
}

/// The number in a line such as `*3` or `$12`.
async fn line(client: &mut BufReader<TcpStream>, command: &mut Vec<u8>) -> Result<usize> {
    let mut line = String::new();
    client.read_line(&mut line).await?;
    command.extend_from_slice(line.as_bytes());
    line.trim_end().get(1..).and_then(|number| number.parse().ok()).context("the client is gone")
}
