//! The login. Succeeds only if the server made sure of the password: a server that asks for none proves nothing.

use bytes::BytesMut;
use postgres_protocol::IsNull;
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramSha256};
use postgres_protocol::message::frontend;
use tokio::io::{AsyncRead, AsyncWrite};

use super::connect::Connection;
use super::wire::{Message, Wire, sqlstate, take, text};
use crate::strategy::dial::Stream;
use crate::strategy::{Credential, Problem, Refused, Unknown};

/// What the server shows of the operator's sessions.
pub(super) const APPLICATION_NAME: &str = "rotated-secrets";
/// Messages between the start and the first statement: a server sends about twenty.
const MOST_MESSAGES: usize = 200;

/// In which forms a password is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proof {
    /// Also as text, to a server that TLS verified.
    Any,
    /// Only so that the server does not learn it (SCRAM).
    Hidden,
    /// The same, and only in a way that is bound to the TLS connection, so that a server cannot pass the login on.
    Bound,
}

/// PostgreSQL's default. With fewer iterations, a server that learns the proof could guess the password.
const FEWEST_ITERATIONS: u32 = 4096;

/// Logs in. Gives the process of the server, as it names itself. The caller bounds the time.
pub(super) async fn login(
    connection: Connection,
    database: &str,
    credential: &Credential,
    proof: Proof,
) -> Result<(Wire<Box<dyn Stream>>, Option<i32>), Problem> {
    let Connection { stream, verified, binding: end_point, certificate: _ } = connection;
    let mut wire = Wire::new(stream);
    let parameters =
        [("user", credential.user.as_str()), ("database", database), ("application_name", APPLICATION_NAME), ("client_encoding", "UTF8")];
    wire.send(|buffer| frontend::startup_message(parameters, buffer)).await?;
    authenticate(&mut wire, (credential, proof), verified, end_point).await?;
    let process = until_ready(&mut wire).await?;
    Ok((wire, process))
}

async fn authenticate<S: AsyncRead + AsyncWrite + Unpin>(
    wire: &mut Wire<S>,
    (credential, proof): (&Credential, Proof),
    verified: bool,
    end_point: Option<Vec<u8>>,
) -> Result<(), Problem> {
    let (code, request) = next(wire, of_login).await?;
    let password = credential.password.expose().as_bytes();
    match code {
        // Nothing was asked for.
        0 => return Err(Refused::PasswordNotRequired.into()),
        3 | 5 if !verified || proof != Proof::Any => return Err(Refused::WeakAuthentication.into()),
        3 => wire.send(|buffer| frontend::password_message(password, buffer)).await?,
        5 => {
            let (salt, _) = take(&request).ok_or(Unknown::ProtocolViolation)?;
            let hash = md5_hash(credential.user.as_bytes(), password, salt);
            wire.send(|buffer| frontend::password_message(hash.as_bytes(), buffer)).await?;
        }
        10 => scram(wire, &request, (password, proof), verified, end_point).await?,
        _ => return Err(Refused::AuthenticationUnsupported.into()),
    }
    match next(wire, of_proof).await? {
        (0, _) => Ok(()),
        _ => Err(Unknown::ProtocolViolation.into()),
    }
}

/// The server proves that it knows the password too.
async fn scram<S: AsyncRead + AsyncWrite + Unpin>(
    wire: &mut Wire<S>,
    mechanisms: &[u8],
    (password, how): (&[u8], Proof),
    encrypted: bool,
    end_point: Option<Vec<u8>>,
) -> Result<(), Problem> {
    let mut offered = mechanisms;
    let (mut plain, mut bound) = (false, false);
    while let Some((name, rest)) = text(offered).filter(|(name, _)| !name.is_empty()) {
        plain |= name == SCRAM_SHA_256.as_bytes();
        bound |= name == SCRAM_SHA_256_PLUS.as_bytes();
        offered = rest;
    }
    let (binding, mechanism) = match end_point {
        Some(end_point) if bound && encrypted => (ChannelBinding::tls_server_end_point(end_point), SCRAM_SHA_256_PLUS),
        _ if how == Proof::Bound => return Err(Refused::WeakAuthentication.into()),
        // The server compares this with what it offered, so that nobody takes the offer out.
        Some(_) if plain => (ChannelBinding::unrequested(), SCRAM_SHA_256),
        None if plain => (ChannelBinding::unsupported(), SCRAM_SHA_256),
        _ => return Err(Refused::AuthenticationUnsupported.into()),
    };
    let mut scram = ScramSha256::new(password, binding);
    wire.send(|buffer| frontend::sasl_initial_response(mechanism, scram.message(), buffer)).await?;
    let (11, challenge) = next(wire, of_login).await? else { return Err(Unknown::ProtocolViolation.into()) };
    if how != Proof::Any && iterations(&challenge).is_none_or(|count| count < FEWEST_ITERATIONS) {
        return Err(Refused::WeakAuthentication.into());
    }
    // The number of iterations is bounded by the library; even so, other tasks go on meanwhile.
    scram = tokio::task::spawn_blocking(move || scram.update(&challenge).map(|()| scram))
        .await
        .map_err(|_| Unknown::ProtocolViolation)?
        .map_err(|_| Unknown::ProtocolViolation)?;
    wire.send(|buffer| frontend::sasl_response(scram.message(), buffer)).await?;
    let (12, proof) = next(wire, of_proof).await? else { return Err(Unknown::ProtocolViolation.into()) };
    // A server that cannot prove it is not the one that the password is for.
    scram.finish(&proof).map_err(|_| Unknown::ProtocolViolation.into())
}

/// `i=` of the server's first message (RFC 5802).
fn iterations(challenge: &[u8]) -> Option<u32> {
    std::str::from_utf8(challenge).ok()?.split(',').find_map(|attribute| attribute.strip_prefix("i="))?.parse().ok()
}

/// The next message about authentication: its code, and the rest. `refusal`: what an error means at this moment.
async fn next<S: AsyncRead + AsyncWrite + Unpin>(wire: &mut Wire<S>, refusal: fn(&str) -> Problem) -> Result<(u32, Vec<u8>), Problem> {
    for _ in 0..MOST_MESSAGES {
        let Message { tag, body } = wire.receive().await?;
        match tag {
            b'R' => {
                let (code, rest) = take(&body).ok_or(Unknown::ProtocolViolation)?;
                return Ok((u32::from_be_bytes(code), rest.to_vec()));
            }
            b'E' => return Err(refusal(&sqlstate(&body))),
            // A notice, or that the server knows no newer protocol.
            b'N' | b'v' => {}
            _ => return Err(Unknown::ProtocolViolation.into()),
        }
    }
    Err(Unknown::ProtocolViolation.into())
}

/// Parameters of the server, until it waits for a statement. It can still refuse: whether the role may log in is
/// checked after the password.
async fn until_ready<S: AsyncRead + AsyncWrite + Unpin>(wire: &mut Wire<S>) -> Result<Option<i32>, Problem> {
    let mut process = None;
    for _ in 0..MOST_MESSAGES {
        let Message { tag, body } = wire.receive().await?;
        match tag {
            b'Z' => return Ok(process),
            b'E' => return Err(of_login(&sqlstate(&body))),
            b'K' => process = take(&body).map(|(process, _)| i32::from_be_bytes(process)),
            b'S' | b'N' => {}
            _ => return Err(Unknown::ProtocolViolation.into()),
        }
    }
    Err(Unknown::ProtocolViolation.into())
}

/// What an error during the login means.
/// <https://www.postgresql.org/docs/current/errcodes-appendix.html>
pub(super) fn of_login(code: &str) -> Problem {
    match code {
        "28P01" => Refused::PasswordRefused.into(),
        // 42501: CONNECT on the database.
        "28000" | "42501" => Refused::LoginNotPermitted.into(),
        "3D000" => Refused::DatabaseNotFound.into(),
        "53300" => Unknown::ConnectionLimit.into(),
        _ => general(code),
    }
}

/// What an error means that answers a proof of the password.
fn of_proof(code: &str) -> Problem {
    match code {
        // PgBouncer, of a wrong password. It says the same of other things at other moments.
        "08P01" => Refused::PasswordRefused.into(),
        _ => of_login(code),
    }
}

/// What an error of a statement means.
pub(super) fn of_statement(code: &str) -> Problem {
    match code {
        "42501" => Refused::NotPermitted.into(),
        "25006" => Refused::ReadOnly.into(),
        // The statement or its lock took too long.
        "57014" | "55P03" => Unknown::Timeout.into(),
        _ => general(code),
    }
}

fn general(code: &str) -> Problem {
    match code.get(..2) {
        // Resources, an operator's intervention, the connection, the system, an internal error (two that change one role at
        // once), a transaction that was rolled back.
        Some("53" | "57" | "58" | "XX" | "40") => Unknown::ServerUnavailable.into(),
        Some("08") => Unknown::ConnectionLost.into(),
        Some(_) => Refused::Rejected.into(),
        None => Unknown::ProtocolViolation.into(),
    }
}

/// How many rows of a declared query are looked at.
const MOST_ROWS: i32 = 100;

/// One statement in the extended protocol, in which the server refuses a second one.
pub(super) fn one_statement(sql: &str) -> impl FnOnce(&mut BytesMut) -> std::io::Result<()> + '_ {
    move |buffer| {
        frontend::parse("", sql, [], buffer)?;
        let bound = frontend::bind("", "", [], std::iter::empty::<()>(), |(), _| Ok(IsNull::Yes), [], buffer);
        bound.map_err(|_| std::io::Error::other("no parameter was bound"))?;
        frontend::execute("", MOST_ROWS, buffer)?;
        frontend::sync(buffer);
        Ok(())
    }
}

/// Statements as a message.
pub(super) fn statement(sql: &str) -> impl FnOnce(&mut BytesMut) -> std::io::Result<()> + '_ {
    move |buffer| frontend::query(sql, buffer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_iterations_are_those_of_the_servers_first_message() {
        for (challenge, expected) in
            [("r=abc,s=c2FsdA==,i=4096", Some(4096)), ("r=i=9,s=eA==,i=1", Some(1)), ("r=abc,s=eA==", None), ("i=", None)]
        {
            assert_eq!(iterations(challenge.as_bytes()), expected, "{challenge}");
        }
    }

    #[test]
    fn what_the_server_says_is_told_from_what_happened_to_it() {
        let table: [(&str, Problem, Problem); 12] = [
            ("28P01", Refused::PasswordRefused.into(), Refused::Rejected.into()),
            ("28000", Refused::LoginNotPermitted.into(), Refused::Rejected.into()),
            ("3D000", Refused::DatabaseNotFound.into(), Refused::Rejected.into()),
            ("42501", Refused::LoginNotPermitted.into(), Refused::NotPermitted.into()),
            ("53300", Unknown::ConnectionLimit.into(), Unknown::ServerUnavailable.into()),
            ("25006", Refused::Rejected.into(), Refused::ReadOnly.into()),
            ("57P03", Unknown::ServerUnavailable.into(), Unknown::ServerUnavailable.into()),
            ("57014", Unknown::ServerUnavailable.into(), Unknown::Timeout.into()),
            ("XX000", Unknown::ServerUnavailable.into(), Unknown::ServerUnavailable.into()),
            ("08P01", Unknown::ConnectionLost.into(), Unknown::ConnectionLost.into()),
            ("22023", Refused::Rejected.into(), Refused::Rejected.into()),
            ("", Unknown::ProtocolViolation.into(), Unknown::ProtocolViolation.into()),
        ];
        for (code, login, statement) in table {
            assert_eq!((of_login(code), of_statement(code)), (login, statement), "{code}");
            let proof = if code == "08P01" { Refused::PasswordRefused.into() } else { login };
            assert_eq!(of_proof(code), proof, "{code}");
        }
    }
}
