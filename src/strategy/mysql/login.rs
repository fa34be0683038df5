//! The login: TLS before anything is said of the user, and proofs that do not reveal the password to a server that was not
//! verified. Unlike PostgreSQL's, the protocol cannot show that the server checked the password.
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase.html>

use tokio::io::{AsyncRead, AsyncWrite};
use zeroize::Zeroizing;

use super::server::Server;
use super::wire::{Reader, Rows, Wire, error_code, short};
use super::{dialect, scramble};
use crate::strategy::dial::{Stream, dial};
use crate::strategy::tls::{self, Tls};
use crate::strategy::{Credential, Problem, Refused, Unknown};

/// What the server shows of the operator's sessions.
const PROGRAM_NAME: &str = "rotated-secrets";

/// Capabilities that a server must have, and that are asked for. MULTI_STATEMENTS and LOCAL_FILES are not among them.
const PROTOCOL: u32 = PROTOCOL_41 | 0x0001 | 0x2000 | 0x8000 | PLUGIN_AUTH | CONNECT_ATTRS;
const CONNECT_WITH_DB: u32 = 0x0008;
const PROTOCOL_41: u32 = 0x0200;
const SSL: u32 = 0x0800;
const PLUGIN_AUTH: u32 = 0x0008_0000;
const CONNECT_ATTRS: u32 = 0x0010_0000;
/// The largest packet that the server may send: one MiB.
const LARGEST_ANSWER: u32 = 0x0010_0000;
/// `utf8mb4_general_ci`, which every MySQL since 5.5 and every MariaDB has.
const UTF8MB4: u8 = 45;

const NATIVE: &[u8] = b"mysql_native_password";
const CACHING_SHA2: &[u8] = b"caching_sha2_password";

/// A session that has begun.
pub(super) type Connection = Wire<Box<dyn Stream>>;

/// How the server stores the password of the account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stored {
    /// `mysql_native_password`.
    Native,
    /// `caching_sha2_password`.
    CachingSha2,
}

/// Connects and logs in. The caller bounds the time.
pub(super) async fn login(server: &Server, credential: &Credential) -> Result<(Connection, Stored), Problem> {
    let connector = match &server.endpoint.tls {
        Tls::Disable => None,
        Tls::Verify { names, ca } => Some(tls::connector(*names, ca.as_deref())?),
    };
    let mut wire = Wire::new(dial(&server.endpoint).await?);
    let greeting = Greeting::read(&wire.receive().await?)?;
    let database = server.database.as_deref();
    let capabilities = PROTOCOL & greeting.capabilities | if database.is_some() { CONNECT_WITH_DB } else { 0 };
    let (wire, encrypted): (Connection, bool) = match connector {
        None => {
            let (stream, exchange) = wire.pause();
            (Wire::resume(Box::new(stream), exchange), false)
        }
        Some(connector) => {
            if greeting.capabilities & SSL == 0 {
                return Err(Refused::TlsNotOffered.into());
            }
            wire.send(&head(capabilities | SSL)).await?;
            let (stream, exchange) = wire.pause();
            let stream = tls::encrypt(&connector, &server.endpoint.host, stream).await?;
            (Wire::resume(Box::new(stream), exchange), true)
        }
    };
    let capabilities = if encrypted { capabilities | SSL } else { capabilities };
    Login { wire, credential, verified: encrypted, asked: false, stored: Stored::CachingSha2 }.run(&greeting, capabilities, database).await
}

/// The first 32 bytes of an answer to the greeting; on its own, it asks for TLS.
fn head(capabilities: u32) -> Vec<u8> {
    [&capabilities.to_le_bytes()[..], &LARGEST_ANSWER.to_le_bytes(), &[UTF8MB4], &[0; 23]].concat()
}

/// What a server says first.
struct Greeting {
    capabilities: u32,
    nonce: Vec<u8>,
    plugin: Vec<u8>,
}

impl Greeting {
    fn read(packet: &[u8]) -> Result<Self, Problem> {
        match packet.first() {
            Some(0xff) => Err(dialect::of_login(error_code(packet))),
            Some(10) => Self::parse(Reader(packet)).ok_or(Unknown::ProtocolViolation.into()),
            _ => Err(Unknown::ProtocolViolation.into()),
        }
    }

    fn parse(mut reader: Reader<'_>) -> Option<Self> {
        reader.byte()?;
        let _version = reader.text()?;
        let _connection: [u8; 4] = reader.take()?;
        let first: [u8; 8] = reader.take()?;
        reader.byte()?;
        let low = reader.number()?;
        let (_collation, _status) = (reader.byte()?, reader.number()?);
        let capabilities = u32::from(low) | u32::from(reader.number()?) << 16;
        let length = usize::from(reader.byte()?);
        let _reserved: [u8; 10] = reader.take()?;
        if capabilities & (PROTOCOL_41 | PLUGIN_AUTH) != PROTOCOL_41 | PLUGIN_AUTH {
            return None;
        }
        let rest = reader.bytes(length.saturating_sub(8).max(13))?;
        let nonce = [&first, rest].concat();
        Some(Self { capabilities, nonce: nonce.get(..20)?.to_vec(), plugin: reader.text()?.to_vec() })
    }
}

struct Login<'a> {
    wire: Connection,
    credential: &'a Credential,
    /// TLS verified the server, so it may see the password.
    verified: bool,
    /// The server has asked for a proof of the password.
    asked: bool,
    stored: Stored,
}

impl Login<'_> {
    async fn run(mut self, greeting: &Greeting, capabilities: u32, database: Option<&str>) -> Result<(Connection, Stored), Problem> {
        // A plugin that is not known here is replaced by the server with that of the user.
        let (plugin, proof) = match self.proof(&greeting.plugin, &greeting.nonce) {
            Some(proof) => (greeting.plugin.as_slice(), proof),
            None => (CACHING_SHA2, Vec::new()),
        };
        self.asked = !proof.is_empty();
        self.stored = of_name(plugin);
        let attributes = [short(b"program_name"), short(PROGRAM_NAME.as_bytes())].into_iter().flatten().flatten().collect::<Vec<u8>>();
        let proof = short(&proof).ok_or(Unknown::ProtocolViolation)?;
        let attributes = short(&attributes).ok_or(Unknown::ProtocolViolation)?;
        let (user, database) = (self.credential.user.as_bytes(), database.map(|database| [database.as_bytes(), b"\0"].concat()));
        let mut answer = [&head(capabilities)[..], user, b"\0", &proof].concat();
        answer.extend(database.unwrap_or_default());
        answer.extend([plugin, b"\0"].concat());
        if capabilities & CONNECT_ATTRS != 0 {
            answer.extend(attributes);
        }
        self.wire.send(&answer).await?;
        self.authenticate().await
    }

    /// A server may change the plugin once, and ask for more once.
    async fn authenticate(mut self) -> Result<(Connection, Stored), Problem> {
        let mut switched = false;
        for _ in 0..4 {
            let packet = self.wire.receive().await?;
            match packet.split_first() {
                Some((0x00, _)) if self.asked => return Ok((self.wire, self.stored)),
                // Nothing was asked for.
                Some((0x00, _)) => return Err(Refused::PasswordNotRequired.into()),
                Some((0xff, _)) => return Err(dialect::of_login(error_code(&packet))),
                Some((0xfe, rest)) if !switched => {
                    let mut reader = Reader(rest);
                    let name = reader.text().ok_or(Refused::AuthenticationUnsupported)?.to_vec();
                    // A zero may follow.
                    let nonce = reader.bytes(20).unwrap_or_default();
                    let proof = self.proof(&name, nonce).ok_or(of_plugin(&name))?;
                    switched = true;
                    self.stored = of_name(&name);
                    self.asked = true;
                    self.wire.send(&proof).await?;
                }
                // The server has a proof of this password in its cache.
                Some((0x01, [3])) => {}
                // It has not, and needs the password.
                Some((0x01, [4])) if self.verified => {
                    let password = Zeroizing::new([self.credential.password.expose().as_bytes(), b"\0"].concat());
                    self.asked = true;
                    self.wire.send(&password).await?;
                }
                Some((0x01, [4])) => return Err(Refused::WeakAuthentication.into()),
                _ => return Err(Unknown::ProtocolViolation.into()),
            }
        }
        Err(Unknown::ProtocolViolation.into())
    }

    /// What shows that the client knows the password; `None`: the plugin is not supported, or has no nonce.
    fn proof(&self, plugin: &[u8], nonce: &[u8]) -> Option<Vec<u8>> {
        let password = self.credential.password.expose().as_bytes();
        match plugin {
            NATIVE if nonce.len() == 20 => Some(scramble::native(password, nonce)),
            CACHING_SHA2 if nonce.len() == 20 => Some(scramble::caching_sha2(password, nonce)),
            _ => None,
        }
    }
}

fn of_name(plugin: &[u8]) -> Stored {
    if plugin == NATIVE { Stored::Native } else { Stored::CachingSha2 }
}

/// A plugin that is asked for and not supported. The first ones want the password itself, or a hash that reveals it.
fn of_plugin(name: &[u8]) -> Problem {
    match name {
        b"mysql_clear_password" | b"mysql_old_password" | b"dialog" | b"sha256_password" => Refused::WeakAuthentication.into(),
        _ => Refused::AuthenticationUnsupported.into(),
    }
}

/// Reads the answer to a statement, within a number of packets: rows, or the code of an error.
pub(super) async fn answer<S: AsyncRead + AsyncWrite + Unpin>(wire: &mut Wire<S>) -> Result<Result<Rows, u16>, Problem> {
    /// Packets in the answer to one statement: the list of sessions has one for each.
    const MOST_PACKETS: usize = 10_000;
    let first = wire.receive().await?;
    let columns = match first.first() {
        Some(0x00) => return Ok(Ok(Rows::new())),
        Some(0xff) => return Ok(Err(error_code(&first))),
        // LOAD DATA LOCAL: the server asks for a file.
        Some(0xfb) | None => return Err(Unknown::ProtocolViolation.into()),
        Some(_) => Reader(&first).length().filter(|columns| (1..=100).contains(columns)).ok_or(Unknown::ProtocolViolation)?,
    };
    let (mut rows, mut described) = (Vec::new(), false);
    for _ in 0..MOST_PACKETS {
        let packet = wire.receive().await?;
        match packet.first() {
            Some(0xff) => return Ok(Err(error_code(&packet))),
            // After the columns, and after the rows.
            Some(0xfe) if packet.len() < 9 && described => return Ok(Ok(rows)),
            Some(0xfe) if packet.len() < 9 => described = true,
            // The columns.
            Some(_) if !described => {}
            _ => rows.push(super::wire::row(&packet, columns).ok_or(Unknown::ProtocolViolation)?),
        }
    }
    Err(Unknown::ProtocolViolation.into())
}
