//! A session of a user: a connection, the login, and commands.

use std::time::Duration;

use tokio::time::timeout;

use super::reply::{Reply, ServerError};
use super::wire::Wire;
use crate::strategy::dial::{Stream, dial};
use crate::strategy::tls::{self, Certificate, Tls};
use crate::strategy::{Credential, Endpoint, Problem, Refused, Unknown};

/// A session of a user.
pub(super) struct Session {
    wire: Wire<Box<dyn Stream>>,
    /// How long a reply may take.
    patience: Duration,
    certificate: Option<Certificate>,
}

/// Which server gets the password.
enum Expected<'a> {
    Any,
    /// The one that showed this certificate; `None`: one that is not verified.
    Showing(Option<&'a Certificate>),
}

impl Session {
    /// Logs in.
    pub(super) async fn open(endpoint: &Endpoint, credential: &Credential) -> Result<Self, Problem> {
        Self::start(endpoint, credential, Expected::Any).await
    }

    /// The same at the server that showed this certificate, or without one at a server that is not verified. No other one gets
    /// the password.
    pub(super) async fn open_at(endpoint: &Endpoint, credential: &Credential, shown: Option<&Certificate>) -> Result<Self, Problem> {
        Self::start(endpoint, credential, Expected::Showing(shown)).await
    }

    async fn start(endpoint: &Endpoint, credential: &Credential, expected: Expected<'_>) -> Result<Self, Problem> {
        let opened = timeout(endpoint.limits.connect, async {
            let (stream, certificate) = connect(endpoint).await?;
            if matches!(expected, Expected::Showing(shown) if shown != certificate.as_ref()) {
                return Err(Problem::from(Refused::AnotherServer));
            }
            let mut wire = Wire::new(stream);
            wire.send(&["AUTH", &credential.user, credential.password.expose()]).await?;
            match wire.receive().await? {
                Reply::Text(answer) if answer == "OK" => Ok((wire, certificate)),
                Reply::Error(error) => Err(error.of_login()),
                _ => Err(Unknown::ProtocolViolation.into()),
            }
        });
        let (wire, certificate) = opened.await.map_err(|_| Unknown::Timeout)??;
        Ok(Self { wire, patience: endpoint.limits.statement, certificate })
    }

    /// The server's certificate; `None`: the connection is not encrypted.
    pub(super) fn certificate(&self) -> Option<&Certificate> {
        self.certificate.as_ref()
    }

    /// Runs a command.
    pub(super) async fn run(&mut self, words: &[&str]) -> Result<Result<Reply, ServerError>, Problem> {
        let answer = timeout(self.patience, async {
            self.wire.send(words).await?;
            self.wire.receive().await
        });
        Ok(match answer.await.map_err(|_| Unknown::Timeout)?? {
            Reply::Error(error) => Err(error),
            reply => Ok(reply),
        })
    }

    /// Runs a command whose refusal is a failure.
    pub(super) async fn must(&mut self, words: &[&str]) -> Result<Reply, Problem> {
        self.run(words).await?.map_err(ServerError::problem)
    }

    /// Makes sure that the session is one of this user. A user without the right to ask cannot be asked: then the login alone
    /// says so.
    pub(super) async fn is_of(&mut self, user: &str) -> Result<(), Problem> {
        match self.run(&["ACL", "WHOAMI"]).await? {
            Ok(Reply::Text(name)) if name == user => Ok(()),
            Ok(Reply::Text(_)) => Err(Refused::WrongUser.into()),
            Ok(_) => Err(Unknown::ProtocolViolation.into()),
            Err(ServerError::NotPermitted) => Ok(()),
            Err(error) => Err(error.problem()),
        }
    }
}

/// Connects. The certificate of the server; `None`: the connection is not encrypted. The caller bounds the time.
async fn connect(endpoint: &Endpoint) -> Result<(Box<dyn Stream>, Option<Certificate>), Problem> {
    // Before a connection is made: a certificate that cannot be read is the spec's mistake, not the server's.
    let connector = match &endpoint.tls {
        Tls::Disable => None,
        Tls::Verify { names, ca } => Some(tls::connector(*names, ca.as_deref())?),
    };
    let stream = dial(endpoint).await?;
    let Some(connector) = connector else { return Ok((Box::new(stream), None)) };
    let stream = tls::encrypt(&connector, &endpoint.host, stream).await?;
    let certificate = tls::certificate(&stream).ok_or(Refused::CertificateRefused)?;
    Ok((Box::new(stream), Some(certificate)))
}
