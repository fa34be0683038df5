//! Why a target did not do what it was asked for.

use strum::{IntoStaticStr, VariantArray};

/// The target's word, or the network's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Problem {
    /// The target said so, or cannot be trusted. A person is needed.
    Refused(Refused),
    /// Nobody said so: what the target did is not known. Tried again soon.
    Unknown(Unknown),
}

/// What a target refuses, or why it is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, VariantArray)]
pub enum Refused {
    /// The password is wrong, or the user does not exist: servers do not tell these apart.
    PasswordRefused,
    /// None of the passwords that AWS has is accepted.
    NoPasswordAccepted,
    /// The user may not log in, or not from here.
    LoginNotPermitted,
    /// The server lets the user in without asking for the password, so nothing is proven.
    PasswordNotRequired,
    /// The server asks for the password in a way that would reveal it.
    WeakAuthentication,
    /// The server asks for something other than a password.
    AuthenticationUnsupported,
    /// The server does not speak TLS.
    TlsNotOffered,
    /// The server wants TLS for this user, and the spec disables it.
    TlsRequired,
    /// The certificate is expired, for another name, or from an unknown authority.
    CertificateRefused,
    /// The declared CA certificates cannot be read.
    CaUnusable,
    /// The database does not exist.
    DatabaseNotFound,
    /// The user may not do this.
    NotPermitted,
    /// The server is a standby or is read-only.
    ReadOnly,
    /// The server rejects the statement, or the value.
    Rejected,
    /// The declared query fails.
    QueryFailed,
    /// The session runs as another user than the one that logged in.
    WrongUser,
    /// The host is a connection pooler or a proxy, and the spec does not name the server behind it.
    Pooler,
    /// The server has one password for each user.
    DualPasswordUnsupported,
    /// The server wants the present password named, and takes none of those that log in.
    CurrentPasswordRequired,
    /// The staged value has another user name than the current one.
    UserChanged,
    /// The value has no usable `username` and `password`.
    ValueUnusable,
    /// The name leads to addresses that are always refused.
    AddressRefused,
    /// The administrator's connection leads to another server than the one that accepted the object's password.
    AnotherServer,
    /// The administrator's password is wrong.
    AdminRefused,
    /// The administrator may not create the second user or change a password.
    AdminNotPermitted,
    /// The user that the spec names does not exist.
    BaseUserMissing,
    /// The user that the spec names has privileges that no credential of an application is to have, or may not log in.
    BaseUserNotUsable,
    /// A role with the name of the second user was not made by the operator, or has privileges or objects of its own.
    TwinNotUsable,
    /// The user that the spec names works as another role after the login, which the second user would not.
    DefaultRole,
    /// The administrator may not give the second user a setting of the first one.
    SettingNotCopied,
    /// A privilege of the first user is of a kind that the second one is not given.
    GrantNotCopied,
    /// The user may not do what the other one may.
    PrivilegesDiffer,
    /// The user has a later version, or this one was withdrawn.
    Superseded,
    /// The server changed the password, and a restart of the server would bring the one before back.
    NotPersisted,
    /// The server is a node of a cluster whose nodes have users of their own.
    ClusterUnsupported,
    /// The receiver of a webhook says no. It may have a word of its own for it.
    ReceiverRefused,
    /// The receiver does not take the signature or the token.
    ReceiverUnauthorized,
    /// There is no receiver at this path.
    ReceiverMissing,
    /// The key or the token for the receiver cannot be used.
    KeyUnusable,
    /// The value of the staged version is in force, and the earlier one cannot be set again.
    CannotUndo,
    /// The program of a Job says no: it ended with an exit code from 1 to 9.
    JobRefused,
    /// There is no CronJob of this name.
    TemplateMissing,
    /// The CronJob is not suspended, so it is a job of its own.
    TemplateNotSuspended,
    /// The annotation of the CronJob does not name the object.
    TemplateNotOffered,
    /// The API server does not accept a Job that is made from the CronJob.
    TemplateUnusable,
    /// Another Job has the name that follows from the version and the step.
    JobNameTaken,
}

/// Why it is not known what a target did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, VariantArray)]
pub enum Unknown {
    /// The name has no address.
    NameNotResolved,
    /// No connection can be made.
    Unreachable,
    /// The connection ended early.
    ConnectionLost,
    /// No answer in time.
    Timeout,
    /// All connections are taken.
    ConnectionLimit,
    /// The server starts, stops, or is out of resources.
    ServerUnavailable,
    /// Another client changes the user at the same moment.
    ConcurrentChange,
    /// The server does not keep to the protocol, or sends too much.
    ProtocolViolation,
    /// A Job ended, and no exit code says what it did.
    JobFailed,
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<Unknown> for Problem {
    fn from(unknown: Unknown) -> Self {
        Self::Unknown(unknown)
    }
}

impl Problem {
    /// The word for status, logs and metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::Refused(refused) => refused.into(),
            Self::Unknown(unknown) => unknown.into(),
        }
    }

    /// What happened and what to do, as the second half of a sentence that names the host.
    pub fn explanation(self) -> &'static str {
        match self {
            Self::Refused(refused) => refused.explanation(),
            Self::Unknown(unknown) => unknown.explanation(),
        }
    }
}

impl Refused {
    fn explanation(self) -> &'static str {
        match self {
            Self::PasswordRefused => "refuses the password, or has no such user",
            Self::NoPasswordAccepted => {
                "accepts neither the staged nor the current nor the previous password: set the user's password to that of the current version"
            }
            Self::LoginNotPermitted => {
                "does not permit the user to log in from here: check the user (LOGIN, a lock, an expired password, its host) and pg_hba.conf"
            }
            Self::PasswordNotRequired => {
                "does not ask the user for a password, so nothing can be verified: require one for this user (scram-sha-256 in pg_hba.conf)"
            }
            Self::WeakAuthentication => {
                "asks for the password in a form that would reveal it to others: use scram-sha-256 or caching_sha2_password, and a verified TLS connection"
            }
            Self::AuthenticationUnsupported => {
                "asks for a kind of authentication that is not supported: use scram-sha-256 (PostgreSQL), caching_sha2_password or mysql_native_password (MySQL)"
            }
            Self::TlsNotOffered => "does not offer TLS: enable it on the server, or set tls.mode to Disable",
            Self::TlsRequired => "wants TLS for this user: set tls.mode to VerifyFull",
            Self::CertificateRefused => {
                "shows a certificate that cannot be verified (expired, another name, or an unknown authority): correct the certificate, or \
                 tls.caBundle"
            }
            Self::CaUnusable => "cannot be verified: tls.caBundle has no usable certificate",
            Self::DatabaseNotFound => "has no such database: correct the field database",
            Self::NotPermitted => {
                "does not permit the user to change its own password (with DualPassword, APPLICATION_PASSWORD_ADMIN is needed)"
            }
            Self::ReadOnly => "is read-only (a standby or a replica): name the primary server",
            Self::Rejected => "rejects the statement; its log says why",
            Self::QueryFailed => "fails the query verify.sql; its log says why",
            Self::WrongUser => "runs the session as another user than the one that logged in",
            Self::Pooler => "is a connection pooler or a proxy, which has passwords of its own: name the server behind it in directHost",
            Self::DualPasswordUnsupported => "does not support two passwords of one user (MariaDB does not): set users to SingleUser",
            Self::CurrentPasswordRequired => "wants the present password named in the change, and takes none of those that log in",
            Self::UserChanged => {
                "is to have another user than the one whose password is rotated: restore the user name in spec.value.data.username"
            }
            Self::ValueUnusable => "needs the fields username and password, each a text that is not empty",
            Self::AddressRefused => "is at an address that is always refused (loopback, link-local, metadata)",
            Self::AnotherServer => "shows another certificate to the administrator than to the user: the name must lead to one server",
            Self::AdminRefused => "refuses the password of the user of adminRef",
            Self::AdminNotPermitted => {
                "does not permit the user of adminRef to manage the users: in PostgreSQL it needs CREATEROLE, and from 16 on ADMIN OPTION for \
                 the user in spec.value.data.username; in MySQL and MariaDB CREATE USER, SELECT on mysql, and WITH GRANT OPTION all that this \
                 user has"
            }
            Self::BaseUserMissing => "has no user of the name in spec.value.data.username: create it",
            Self::BaseUserNotUsable => {
                "has a user of the name in spec.value.data.username that may not take turns: it may not log in, or has privileges of an \
                 administrator, such as SUPERUSER or CREATEROLE, CREATE USER or ALL PRIVILEGES ON *.*"
            }
            Self::TwinNotUsable => {
                "has a user with the name of the second user that the operator did not make, or that has privileges, memberships or objects \
                 of its own: transfer them to the first user (REASSIGN OWNED in each database), revoke the rest, or set another \
                 alternate.suffix"
            }
            Self::DefaultRole => {
                "has a default role for the user (ALTER ROLE or ALTER DATABASE .. SET role), as which the second user would not work: remove it \
                 (RESET role), or set spec.rotation.postgres.users to SingleUser"
            }
            Self::SettingNotCopied => {
                "does not permit the user of adminRef to copy a setting of the user (ALTER ROLE .. SET) to the second user: only a superuser may set \
                 this parameter; remove it from the user, or name a superuser in adminRef"
            }
            Self::GrantNotCopied => {
                "has granted the user something that is not copied to the second user (PROXY, a partial revoke, or a form that is not known): revoke \
                 it, or set spec.rotation.mysql.users to another value"
            }
            Self::PrivilegesDiffer => {
                "does not permit the user whose turn it is all that it permits the other one: grant it to the user in \
                 spec.value.data.username, or revoke it from the other one"
            }
            Self::Superseded => "already has a later version of this credential",
            Self::NotPersisted => {
                "has the new password in memory only, because it cannot store it (ACL SAVE or CONFIG REWRITE): permit both, and make the file of \
                 the users or of the configuration writable"
            }
            Self::ClusterUnsupported => "is a node of a Redis Cluster, in which each node has users of its own: this is not supported",
            Self::ReceiverRefused => "refuses the step",
            Self::ReceiverUnauthorized => {
                "does not take the signature or the token of the request: check the key, and the clocks of both sides"
            }
            Self::ReceiverMissing => "has no receiver at this path: correct the url",
            Self::KeyUnusable => {
                "needs a signing key of at least 24 bytes, as text or as whsec_ and base64, or a token of a ServiceAccount: correct the one that \
                 the spec names"
            }
            Self::CannotUndo => "has the staged password in force, and the earlier one cannot be set again",
            Self::JobRefused => "refuses the step: the log of its pod says why",
            Self::TemplateMissing => "does not exist: correct spec.rotation.job.templateRef, or create it",
            Self::TemplateNotSuspended => "is not suspended: set spec.suspend to true, so that nothing else makes Jobs from it",
            Self::TemplateNotOffered => "does not name this RotatedSecret in its annotation rotated-secrets.io/template-for",
            Self::TemplateUnusable => "has a jobTemplate from which no Job can be made that the API server accepts",
            Self::JobNameTaken => "cannot be used: another Job has the name of the one for this step: delete that Job",
        }
    }
}

impl Unknown {
    fn explanation(self) -> &'static str {
        match self {
            Self::NameNotResolved => "has a name that cannot be resolved: correct the host, or check the DNS of the operator's pods",
            Self::Unreachable => "cannot be reached",
            Self::ConnectionLost => "ended the connection early",
            Self::Timeout => "did not answer in time",
            Self::ConnectionLimit => "has no free connection for the user",
            Self::ServerUnavailable => "is starting, stopping, or out of resources",
            Self::ConcurrentChange => "has a user that another client changes at the same moment",
            Self::ProtocolViolation => "does not keep to the protocol of the declared kind of server: correct host and port",
            Self::JobFailed => {
                "ended without an exit code from 0 to 9 (another exit code, an eviction, a lost node), so what it did is not known"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_is_one_word_and_each_explanation_a_sentence_end() {
        let refused = Refused::VARIANTS.iter().map(|refused| Problem::Refused(*refused));
        let unknown = Unknown::VARIANTS.iter().map(|unknown| Problem::Unknown(*unknown));
        for problem in refused.chain(unknown) {
            assert!(problem.word().bytes().all(|byte| byte.is_ascii_alphabetic()), "{problem:?}");
            assert!(!problem.explanation().ends_with('.') && problem.explanation().len() > 10, "{problem:?}");
        }
    }
}
