//! Connection to the cluster as kubectl would make it, and messages for its errors.

use std::time::Duration;

use kube::api::Api;
use kube::config::{KubeConfigOptions, KubeconfigError};
use kube::{Client, Config};

use super::args::ClusterArgs;
use super::flags::Flags;
use super::{Exit, Trouble};
use crate::api::RotatedSecret;
use crate::kubernetes::connection;
use crate::kubernetes::stored::Stored;

/// The plugin's name in `managedFields`.
pub(super) const FIELD_MANAGER: &str = "kubectl-rotatedsecret";

/// A connection to the cluster that the flags select.
pub(super) struct Session {
    /// A client with the user's permissions.
    pub(super) client: Client,
    /// The namespace of the flag, or of the context.
    pub(super) namespace: String,
    /// The flags of printed commands.
    pub(super) flags: Flags,
    /// For the message of a failed connection.
    proxy: Option<String>,
}

impl Session {
    /// Reads the kubeconfig. Sends no request.
    pub(super) async fn open(args: &ClusterArgs) -> Result<Self, Trouble> {
        let mut config = configuration(args).await?;
        // Short timeouts, because a person is waiting.
        config.connect_timeout = Some(Duration::from_secs(10));
        config.read_timeout = Some(Duration::from_secs(30));
        config.default_retry = false;
        let namespace = args.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let proxy = connection::proxy_hint(&config);
        let client = connection::client(config).map_err(Trouble::unreachable)?;
        let flags = Flags::new(args, &namespace);
        Ok(Self { client, namespace, flags, proxy })
    }

    /// The objects of the namespace.
    pub(super) fn objects(&self) -> Api<Stored> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// One object.
    pub(super) async fn object(&self, name: &str) -> Result<RotatedSecret, Trouble> {
        let found = self.objects().get(name).await.map_err(|error| self.trouble("get", name, &error))?;
        self.readable(found)
    }

    /// The object, if this version of the plugin can decode it.
    pub(super) fn readable(&self, stored: Stored) -> Result<RotatedSecret, Trouble> {
        stored.into_readable().map_err(|unreadable| {
            let name = unreadable.metadata.name.unwrap_or_default();
            Trouble::wrong(format!(
                "{name} cannot be read: {}; kubectl get rsec -n {} {name} -o yaml shows it",
                unreadable.defect, self.namespace
            ))
        })
    }

    /// Message for an error. `verb`: as in RBAC; `name`: of one object, or empty.
    pub(super) fn trouble(&self, verb: &str, name: &str, error: &kube::Error) -> Trouble {
        let mut trouble = explain(verb, &self.namespace, name, error, &self.flags);
        if let (Some(proxy), false) = (&self.proxy, matches!(error, kube::Error::Api(_))) {
            trouble.message = format!("{}; {proxy}", trouble.message);
        }
        trouble
    }
}

async fn configuration(args: &ClusterArgs) -> Result<Config, Trouble> {
    let options = KubeConfigOptions { context: args.context.clone(), ..KubeConfigOptions::default() };
    let found = connection::from_kubeconfig(args.kubeconfig.as_deref(), &options).await;
    found.or_else(|error| {
        // In a pod, use the in-cluster configuration, as kubectl does.
        let asked = args.context.is_some() || args.kubeconfig.is_some();
        if asked { Err(unusable(&error)) } else { connection::in_cluster().ok_or_else(|| unusable(&error)) }
    })
}

fn unusable(error: &KubeconfigError) -> Trouble {
    if let Some(message) = connection::proxy_error(error) {
        return Trouble::unreachable(message);
    }
    Trouble::unreachable(match error {
        KubeconfigError::CurrentContextNotSet => {
            "no context is selected: run kubectl config use-context NAME, or add --context NAME".to_owned()
        }
        KubeconfigError::LoadContext(name) => format!("the kubeconfig has no context {name}: kubectl config get-contexts shows them"),
        KubeconfigError::ReadConfig(_, path) => {
            format!("the kubeconfig {} cannot be read: set KUBECONFIG, or add --kubeconfig PATH", path.display())
        }
        KubeconfigError::FindPath => "there is no kubeconfig: set KUBECONFIG, or add --kubeconfig PATH".to_owned(),
        _ => "the kubeconfig cannot be used: kubectl config view shows its content".to_owned(),
    })
}

fn explain(verb: &str, namespace: &str, name: &str, error: &kube::Error, flags: &Flags) -> Trouble {
    let kube::Error::Api(status) = error else {
        return match error {
            kube::Error::Auth(_) => {
                Trouble::unreachable(format!("the login of the kubeconfig failed: try {}", flags.cluster("auth whoami")))
            }
            kube::Error::SerdeError(_) => {
                Trouble::unreachable("the response is not that of a Kubernetes API server: check the context with kubectl cluster-info")
            }
            _ => Trouble::unreachable(format!(
                "the API server does not respond: check the network, and the context with {}",
                flags.cluster("cluster-info")
            )),
        };
    };
    let what = if namespace.is_empty() { "in all namespaces".to_owned() } else { format!("in namespace {namespace}") };
    match status.code {
        401 => Trouble::unreachable(format!(
            "the API server does not accept your credentials: log in again, then try {}",
            flags.cluster("auth whoami")
        )),
        // Admission webhooks and policies also respond with 403, with a message that the user needs.
        403 if !status.message.contains("denied") => Trouble::unreachable(format!(
            "you may not {verb} RotatedSecrets {what}: ask for that permission; {} shows whether you have it",
            flags.kubectl(&format!("auth can-i {verb} rsec"))
        )),
        // The response names a missing object, but not a missing definition.
        404 if status.details.as_ref().is_some_and(|details| details.name == name && !name.is_empty()) => {
            Trouble::wrong(format!("there is no RotatedSecret {name} {what}: {} shows all", flags.cluster("rotatedsecret status -A")))
        }
        404 => Trouble::unreachable("RotatedSecret is not defined in this cluster: kubectl apply -f crds/, or choose another --context"),
        // The request contained no value, so the response cannot quote one.
        400..=499 => Trouble { exit: Exit::Wrong, message: format!("the API server rejects the request: {}", one_line(&status.message)) },
        code => Trouble::unreachable(format!("the API server responds with {code}: try again, then ask its administrators")),
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn answer(code: u16, reason: &str, name: Option<&str>) -> kube::Error {
        let details = name.map(|name| serde_json::from_value(serde_json::json!({"name": name})).unwrap());
        let mut status = Status::failure("some\nwords", reason).with_code(code);
        status.details = details;
        kube::Error::Api(status.boxed())
    }

    #[test]
    fn refusals_say_what_to_type_and_end_as_the_help_says() {
        for (error, exit, words) in [
            (answer(401, "Unauthorized", None), Exit::Unreachable, "kubectl auth whoami"),
            (answer(403, "Forbidden", None), Exit::Unreachable, "you may not patch RotatedSecrets in namespace shop"),
            (answer(404, "NotFound", Some("db")), Exit::Wrong, "there is no RotatedSecret db in namespace shop"),
            (answer(404, "NotFound", None), Exit::Unreachable, "kubectl apply -f crds/"),
            (answer(422, "Invalid", Some("db")), Exit::Wrong, "some words"),
            (answer(503, "ServiceUnavailable", None), Exit::Unreachable, "503"),
            (kube::Error::LinesCodecMaxLineLengthExceeded, Exit::Unreachable, "does not respond"),
        ] {
            let trouble = explain("patch", "shop", "db", &error, &Flags::default().within("shop"));
            assert_eq!(trouble.exit, exit, "{trouble}");
            assert!(trouble.to_string().contains(words), "{trouble}");
            assert_eq!(trouble.to_string().lines().count(), 1, "{trouble}");
        }
    }

    #[test]
    fn a_kubeconfig_that_cannot_be_used_says_which_and_why() {
        let missing = KubeconfigError::ReadConfig(std::io::Error::from(std::io::ErrorKind::NotFound), "/nowhere".into());
        assert!(unusable(&missing).to_string().contains("/nowhere"));
        assert!(unusable(&KubeconfigError::LoadContext("prod".to_owned())).to_string().contains("no context prod"));
        assert!(unusable(&KubeconfigError::CurrentContextNotSet).to_string().contains("--context"));
        assert_eq!(unusable(&KubeconfigError::FindPath).exit, Exit::Unreachable);
    }
}
