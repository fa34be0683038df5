//! The administrator of a target, and the key of a receiver: another RotatedSecret of the namespace. Its value is read from AWS
//! as its own reconcile would read it, with its own identity and the same proofs. An administrator's is sent to no other server
//! than its object names, and a key is sent nowhere.

use kube::ResourceExt as _;

use super::reconciler::Reconciler;
use crate::api::condition::Reason;
use crate::api::{ALLOWED_HOSTS, RotatedSecret, TlsMode};
use crate::aws::{Address, Selector};
use crate::backoff::Class;
use crate::desired::{Desired, Kind, Strategy, glob_allows, is_subdomain};
use crate::failure::Failure;
use crate::kubernetes::object;
use crate::plan;
use crate::strategy::Credential;
use crate::strategy::webhook::SigningKey;
use crate::value::Payload;

impl Reconciler<'_> {
    /// The user and password of the administrator.
    pub(super) async fn administrator(&self, namespace: &str, admin: &str, target: &Strategy) -> Result<Administrator, Failure> {
        let found = self.helping("adminRef", namespace, admin, target).await?;
        let unusable = |why: String| unusable("adminRef", admin, target, &why);
        let Some(named) = names(&found, target, namespace) else {
            let host = target.host_and_port();
            // A server of Redis learns the password. That of MySQL can learn it, too, and pass the login on. So the administrator
            // has to say how it is verified.
            let other_way = match target.kind {
                Kind::RedisTwoPasswords { .. } | Kind::MysqlAlternatingUsers { .. } => String::new(),
                _ => format!(", or set the annotation {ALLOWED_HOSTS}: \"{host}\" on it and a verified tls.mode here"),
            };
            return Err(unusable(format!(
                "does not name the host {host}: declare the same host, port and tls in its spec.rotation.{}{other_way}",
                target.field()
            )));
        };
        let mut reader = Reconciler::new(&found, self.ctx);
        let read = reader.current_value().await?;
        let credential = read.and_then(|read| Some((Credential::of(&read.value).ok()?, read.staged)));
        match credential {
            Some((credential, staged)) => Ok(Administrator { credential, bound: named == Named::ByHost, staged }),
            None => {
                Err(unusable("has no current value with the fields username and password that may be read: see its conditions".to_owned()))
            }
        }
    }

    /// The key that requests to a receiver are signed with. It never leaves the operator, so its object has to name no host.
    pub(super) async fn signing_key(&self, namespace: &str, name: &str, target: &Strategy) -> Result<SigningKey, Failure> {
        let found = self.helping("signingKeyRef", namespace, name, target).await?;
        let unusable = |why: &str| unusable("signingKeyRef", name, target, why);
        let mut reader = Reconciler::new(&found, self.ctx);
        let Some(read) = reader.current_value().await? else {
            return Err(unusable("has no current value that may be read: see its conditions"));
        };
        let is_plain = !read.value.is_object();
        let text = match read.value {
            Payload::Text(text) if is_plain => Some(text),
            value => value.field("signingKey"),
        };
        let key = text.and_then(|text| SigningKey::parse(&text).ok());
        key.ok_or_else(|| unusable("has no key: at least 24 bytes, as a plain text or in the field signingKey (KeyUnusable)"))
    }

    /// Another object of the namespace.
    async fn helping(&self, field: &str, namespace: &str, name: &str, target: &Strategy) -> Result<RotatedSecret, Failure> {
        // The name becomes a part of a path, and nothing but an object of this namespace is meant.
        let found = if is_subdomain(name) { object::read(&self.ctx.client, namespace, name).await? } else { None };
        let found = found.filter(|found| found.namespace().as_deref() == Some(namespace) && found.name_any() == name);
        let missing = || unusable(field, name, target, &format!("does not exist in the namespace {namespace}, or cannot be read"));
        found.ok_or_else(missing)
    }

    /// The current value of this object; `None`: it has none that may be used.
    async fn current_value(&mut self) -> Result<Option<Read>, Failure> {
        let Ok(want) = Desired::parse(&self.object, &self.ctx.policy) else { return Ok(None) };
        let want = self.locate(want).await?;
        let seen = self.observe(&want).await.map_err(|failed| failed.failure)?;
        let Some((secret, current)) = plan::usable(&want, &seen, (self.ctx.clock)()) else { return Ok(None) };
        let at = Address { region: &want.region, id: &secret.arn };
        let read = self.read(at, Selector::Version(&current.version)).await?;
        Ok(Some(Read { value: read.value, staged: secret.pending.in_progress().is_some() }))
    }
}

fn unusable(field: &str, name: &str, target: &Strategy, why: &str) -> Failure {
    let shown = if is_subdomain(name) { name } else { "with this name" };
    Failure {
        class: Class::Denied,
        reason: Reason::ApplyFailed,
        message: format!("spec.rotation.{}.{field}: the RotatedSecret {shown} {why}", target.field()),
        request_id: None,
    }
}

/// A value in use, and whether another one is on its way to the target.
struct Read {
    value: Payload,
    staged: bool,
}

/// The administrator of a target.
pub(super) struct Administrator {
    pub(super) credential: Credential,
    /// Its object names the host only, so it has not said how the server is verified.
    pub(super) bound: bool,
    /// Its own password is changing, so the server may refuse this one for a moment.
    pub(super) staged: bool,
}

/// How the administrator's object names a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Named {
    /// With the same verification.
    AsServer,
    /// By its host. Those who write the other object choose the verification.
    ByHost,
}

/// How the administrator's object says that its credential may be sent to this server; `None`: it does not.
fn names(admin: &RotatedSecret, target: &Strategy, namespace: &str) -> Option<Named> {
    let declared = admin.spec.rotation.as_ref().and_then(|rotation| Strategy::of(rotation, namespace));
    let same =
        declared.is_some_and(|own| own.same_server(target) && (own.server.tls, &own.server.ca) == (target.server.tls, &target.server.ca));
    if same {
        return Some(Named::AsServer);
    }
    let listed = admin.metadata.annotations.as_ref().and_then(|annotations| annotations.get(ALLOWED_HOSTS));
    let listed = listed.is_some_and(|listed| glob_allows(listed, &target.host_and_port()));
    (listed && target.server.tls != TlsMode::Disable).then_some(Named::ByHost)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::desired::fixture;

    fn admin(host: &str, mode: &str, annotations: &serde_json::Value) -> RotatedSecret {
        serde_json::from_value(json!({
            "apiVersion": "rotated-secrets.io/v1alpha1",
            "kind": "RotatedSecret",
            "metadata": {"name": "db-super", "annotations": annotations},
            "spec": {"rotation": {"schedule": "rate(1 day)", "postgres": {"host": host, "database": "postgres", "tls": {"mode": mode}}}},
        }))
        .unwrap()
    }

    #[test]
    fn the_credential_of_an_administrator_is_sent_to_no_server_that_its_object_does_not_name() {
        let target = fixture::strategy();
        let found = |admin: &RotatedSecret| names(admin, &target, "shop");
        let names = |admin: &RotatedSecret| found(admin).is_some();
        for host in ["db", "db.shop", "db.shop.svc"] {
            assert!(names(&admin(host, "VerifyFull", &json!({}))), "{host}");
        }
        assert!(!names(&admin("db", "Disable", &json!({}))), "the connection is verified in another way");
        assert!(!names(&admin("db.other.svc", "VerifyFull", &json!({}))));
        assert!(!names(&admin("10.0.0.7", "VerifyFull", &json!({}))));
        assert_eq!(found(&admin("db", "VerifyFull", &json!({}))), Some(Named::AsServer));
        let listed = admin("10.0.0.7", "VerifyFull", &json!({ALLOWED_HOSTS: "db.shop.svc:5432"}));
        assert_eq!(found(&listed), Some(Named::ByHost), "the other object chooses the authority");
        let mut unverified = target.clone();
        unverified.server.tls = TlsMode::Disable;
        assert_eq!(super::names(&listed, &unverified, "shop"), None, "anyone on the way could pass the login on");
        assert!(!names(&admin("10.0.0.7", "VerifyFull", &json!({ALLOWED_HOSTS: "db.shop.svc:5433"}))));
        let mut own_authority = admin("db", "VerifyFull", &json!({}));
        own_authority.spec.rotation.as_mut().unwrap().postgres.as_mut().unwrap().tls.ca_bundle = Some("another".to_owned());
        assert!(!names(&own_authority), "another server could show a certificate that the administrator does not trust");
        let mut mirrored = admin("x", "VerifyFull", &json!({}));
        mirrored.spec.rotation = None;
        assert!(!names(&mirrored));
    }
}
