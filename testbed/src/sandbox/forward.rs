//! Ways between this process and the node's network: what connects here is connected there, and the other way round. With TLS where pods come to
//! the emulator, since the operator sends values only over TLS.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use tokio::io::copy_bidirectional;
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

type Dial = Arc<dyn Fn() -> io::Result<TcpStream> + Send + Sync>;

/// Accepts until it is dropped. In a thread and runtime of its own, for the runtimes of tests come and go.
#[derive(Debug)]
pub(crate) struct Forward {
    address: SocketAddr,
    _stop: oneshot::Sender<()>,
}

impl Forward {
    /// For each connection to the listener one that `dial` makes.
    pub(crate) fn start(
        listener: TcpListener,
        tls: Option<Arc<ServerConfig>>,
        dial: impl Fn() -> io::Result<TcpStream> + Send + Sync + 'static,
    ) -> Result<Self> {
        let address = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let tls = tls.map(TlsAcceptor::from);
        std::thread::Builder::new()
            .name("forward".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        // The sender is dropped, never used.
                        _ = stopped => {}
                        () = accept(listener, tls, Arc::new(dial)) => {}
                    }
                });
                // A connection attempt may still be in progress. It is not awaited.
                runtime.shutdown_background();
            })
            .context("no thread can be started")?;
        Ok(Self { address, _stop: stop })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, dial: Dial) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(connect(stream, tls.clone(), Arc::clone(&dial)));
        }
    }
}

/// An end on either side is an end on both; the parties see it themselves.
async fn connect(mut near: tokio::net::TcpStream, tls: Option<TlsAcceptor>, dial: Dial) {
    let dialled = tokio::task::spawn_blocking(move || {
        let stream = dial()?;
        stream.set_nonblocking(true)?;
        Ok::<_, io::Error>(stream)
    });
    let Ok(Ok(far)) = dialled.await else { return };
    let Ok(mut far) = tokio::net::TcpStream::from_std(far) else { return };
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    match tls {
        None => {
            let _ = copy_bidirectional(&mut near, &mut far).await;
        }
        Some(tls) => {
            if let Ok(mut near) = tls.accept(near).await {
                let _ = copy_bidirectional(&mut near, &mut far).await;
            }
        }
    }
}
