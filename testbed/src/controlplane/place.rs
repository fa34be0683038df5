//! Where a control plane runs: on this machine's loopback, or in the namespaces of a node, where pods reach it at the address that they know.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;

use anyhow::Result;

use crate::process::ProcessGroup;
use crate::sandbox::forward::Forward;
use crate::sandbox::namespaces::{ADDRESS, APISERVER_ADDRESS, Namespaces};

/// For pods the API server is at the port of HTTPS.
const HTTPS: u16 = 443;

#[derive(Debug)]
pub(super) enum Place {
    Loopback,
    /// The way for those who are outside is there as soon as the API server's URL is asked for.
    Inside(Namespaces, Option<Forward>),
}

impl Place {
    /// Opens the namespaces if a node is requested.
    pub(super) fn choose(node: bool, group: &ProcessGroup) -> Result<Self> {
        Ok(if node { Self::Inside(Namespaces::open(group)?, None) } else { Self::Loopback })
    }

    pub(super) fn inside(&self) -> Option<&Namespaces> {
        match self {
            Self::Loopback => None,
            Self::Inside(namespaces, _) => Some(namespaces),
        }
    }

    /// The command, to be run there.
    pub(super) fn enter(&self, command: Command) -> Command {
        match self {
            Self::Loopback => command,
            Self::Inside(namespaces, _) => namespaces.enter(&command),
        }
    }

    pub(super) fn connect(&self, address: SocketAddr) -> io::Result<TcpStream> {
        match self {
            Self::Loopback => TcpStream::connect(address),
            Self::Inside(namespaces, _) => namespaces.connect(address),
        }
    }

    /// `port` is free on this machine.
    pub(super) fn apiserver_flags(&self, port: u16) -> Vec<String> {
        match self {
            Self::Loopback => {
                vec![format!("--secure-port={port}"), "--bind-address=127.0.0.1".to_owned(), "--advertise-address=127.0.0.1".to_owned()]
            }
            Self::Inside(..) => {
                vec![format!("--secure-port={HTTPS}"), "--bind-address=0.0.0.0".to_owned(), format!("--advertise-address={ADDRESS}")]
            }
        }
    }

    /// For clients on this machine. The certificate that the API server makes for all addresses names `localhost`, and not 127.0.0.1.
    pub(super) fn apiserver_url(&mut self, port: u16) -> Result<String> {
        match self {
            Self::Loopback => Ok(format!("https://127.0.0.1:{port}")),
            Self::Inside(namespaces, way) => {
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
                let (namespaces, apiserver) = (namespaces.clone(), SocketAddr::from((APISERVER_ADDRESS.parse::<Ipv4Addr>()?, HTTPS)));
                let started = Forward::start(listener, None, move || namespaces.connect(apiserver))?;
                let url = format!("https://localhost:{}", started.address().port());
                *way = Some(started);
                Ok(url)
            }
        }
    }

    /// For programs and pods inside; `None` where there is no inside.
    pub(super) fn apiserver_url_inside(&self) -> Option<&'static str> {
        self.inside().map(|_| "https://10.0.0.1:443")
    }
}
