//! Counts the logins of all pods.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// What the pods of one object told.
#[derive(Debug, Clone, Default)]
pub(super) struct Told {
    /// Pods that logged in.
    pub(super) pods: usize,
    pub(super) logins: usize,
    /// Each failed login: the user, and what the server said.
    pub(super) failures: Vec<String>,
}

/// Listens on a port of this machine.
pub(super) struct Collector {
    pub(super) address: SocketAddr,
    told: Arc<Mutex<BTreeMap<String, Told>>>,
}

impl Collector {
    pub(super) async fn start() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let (address, told) = (listener.local_addr()?, Arc::new(Mutex::new(BTreeMap::new())));
        let shared = Arc::clone(&told);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(listen(stream, Arc::clone(&shared)));
            }
        });
        Ok(Self { address, told })
    }

    /// What the pods of this kind told so far.
    pub(super) fn told(&self, kind: &str) -> Told {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).get(kind).cloned().unwrap_or_default()
    }
}

async fn listen(stream: TcpStream, shared: Arc<Mutex<BTreeMap<String, Told>>>) {
    let mut lines = BufReader::new(stream).lines();
    let Ok(Some(first)) = lines.next_line().await else { return };
    let Some((kind, user)) = first.split_once(' ') else { return };
    let note =
        |change: &dyn Fn(&mut Told)| change(shared.lock().unwrap_or_else(PoisonError::into_inner).entry(kind.to_owned()).or_default());
    note(&|told| told.pods += 1);
    while let Ok(Some(line)) = lines.next_line().await {
        note(&|told| {
            told.logins += 1;
            if line != "ok" {
                told.failures.push(format!("{user}: {line}"));
            }
        });
    }
}
