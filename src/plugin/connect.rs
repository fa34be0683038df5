//! Connection to the cluster as kubectl would make it, and messages for its errors.

use std::time::Duration;

use jiff::Timestamp;
use kube::api::{Api, ListParams, ObjectList};
use kube::client::{ClientBuilder, DynBody};
use kube::{Client, Config};
use tower::util::MapResponseLayer;

use super::args::ClusterArgs;
use super::clock::Clock;
use super::flags::Flags;
use super::kubeconfig::{configuration, login, no_response};
use super::seen::Seen;
use super::trace::TraceLayer;
use super::{Exit, Trouble};
use crate::api::RotatedSecret;
use crate::kubernetes::connection;
use crate::kubernetes::namespace::NamespacePolicy;
use crate::kubernetes::watch::PAGE;

/// The plugin's name in `managedFields`.
pub(super) const FIELD_MANAGER: &str = "kubectl-rotatedsecret";

/// The plugin's name for requests and for annotations of Namespaces, which are not in Git. Flux removes what managers named
/// `kubectl...` set.
pub(super) const REQUEST_MANAGER: &str = "rotated-secrets-request";

/// A connection to the cluster that the flags select.
pub(super) struct Session {
    /// A client with the user's permissions.
    pub(super) client: Client,
    /// The namespace of the flag, or of the context.
    pub(super) namespace: String,
    /// The flags of printed commands.
    pub(super) flags: Flags,
    /// The clock of the API server.
    pub(super) clock: Clock,
    /// The command of the kubeconfig that logs in.
    login: String,
    /// For the message of a failed connection.
    proxy: Option<String>,
}

impl Session {
    /// Reads the kubeconfig. Sends no request.
    pub(super) async fn open(args: &ClusterArgs) -> Result<Self, Trouble> {
        let mut config = configuration(args).await?;
        let limit = Duration::try_from(args.request_timeout).ok().filter(|limit| !limit.is_zero());
        // A short timeout, because a person is waiting.
        config.connect_timeout = Some(limit.unwrap_or(Duration::MAX).min(Duration::from_secs(10)));
        config.read_timeout = limit;
        config.default_retry = false;
        let namespace =
            args.namespace.clone().filter(|namespace| !namespace.is_empty()).unwrap_or_else(|| config.default_namespace.clone());
        let flags = Flags::new(args, &namespace);
        let command = config.auth_info.exec.as_ref().and_then(|exec| exec.command.clone()).unwrap_or_default();
        let clock = Clock::default();
        let proxy = connection::proxy_hint(&config);
        let client = client(config, clock.clone(), args.verbosity).map_err(|error| match &error {
            kube::Error::Auth(error) => Trouble::unreachable(login(error, &command, &flags)),
            error => Trouble::unreachable(connection::unusable(error, &flags.cluster("auth whoami"))),
        })?;
        Ok(Self { client, namespace, flags, clock, login: command, proxy })
    }

    /// The same connection for another namespace.
    pub(super) fn within(&self, namespace: &str) -> Self {
        Self {
            client: self.client.clone(),
            namespace: namespace.to_owned(),
            flags: self.flags.within(namespace),
            clock: self.clock.clone(),
            login: self.login.clone(),
            proxy: self.proxy.clone(),
        }
    }

    /// The time, by the clock of the API server.
    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The text of the annotation that suspends the namespace. `None`: it is not suspended, or may not be read.
    pub(super) async fn suspension(&self) -> Option<String> {
        NamespacePolicy::of(&self.client, &self.namespace).await.ok()?.suspension()
    }

    /// The objects of the namespace.
    pub(super) fn objects(&self) -> Api<Seen> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The objects of the namespace, or of all namespaces.
    pub(super) fn everywhere(&self, everywhere: bool) -> Api<Seen> {
        if everywhere { Api::all(self.client.clone()) } else { self.objects() }
    }

    /// One object.
    pub(super) async fn object(&self, name: &str) -> Result<RotatedSecret, Trouble> {
        let seen = self.seen(name).await?;
        self.readable(seen)
    }

    /// One object, with what this version does not know of it.
    pub(super) async fn seen(&self, name: &str) -> Result<Seen, Trouble> {
        self.objects().get(name).await.map_err(|error| self.trouble("get", name, &error))
    }

    /// All objects with these labels, read in pages because a cluster can hold thousands.
    pub(super) async fn list(&self, everywhere: bool, selector: Option<&str>) -> Result<Vec<Seen>, Trouble> {
        let api = self.everywhere(everywhere);
        let mut params = ListParams::default().limit(PAGE);
        params.label_selector = selector.map(str::to_owned);
        pages(params, async |params| api.list(params).await).await.map_err(|error| self.trouble_of_all("list", everywhere, &error))
    }

    /// The object, if this version of the plugin can decode it.
    pub(super) fn readable(&self, seen: Seen) -> Result<RotatedSecret, Trouble> {
        seen.into_readable().map_err(|unreadable| {
            let name = unreadable.metadata.name.unwrap_or_default();
            let show = self.flags.kubectl(&format!("get rsec {name} -o yaml"));
            Trouble::wrong(format!("{name} cannot be read: {}; {show} shows it", unreadable.defect))
        })
    }

    /// Message for an error. `verb`: as in RBAC; `name`: of one object, or empty.
    pub(super) fn trouble(&self, verb: &str, name: &str, error: &kube::Error) -> Trouble {
        self.trouble_in(&self.namespace, verb, name, error)
    }

    /// The same for a request for all objects of the namespace, or of all namespaces.
    pub(super) fn trouble_of_all(&self, verb: &str, everywhere: bool, error: &kube::Error) -> Trouble {
        self.trouble_in(if everywhere { "" } else { &self.namespace }, verb, "", error)
    }

    fn trouble_in(&self, namespace: &str, verb: &str, name: &str, error: &kube::Error) -> Trouble {
        let mut trouble = explain(verb, namespace, name, error, &self.flags, &self.login);
        if let (Some(proxy), false) = (&self.proxy, matches!(error, kube::Error::Api(_) | kube::Error::Auth(_))) {
            trouble.message = format!("{}; {proxy}", trouble.message);
        }
        trouble
    }
}

/// The items of all pages of a list.
pub(super) async fn pages<K: Clone>(
    mut params: ListParams,
    read: impl AsyncFn(&ListParams) -> Result<ObjectList<K>, kube::Error>,
) -> Result<Vec<K>, kube::Error> {
    let mut found = Vec::new();
    loop {
        let page = read(&params).await?;
        found.extend(page.items);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(found),
        }
    }
}

/// A client that takes the time of each response, and shows the requests if asked for.
fn client(config: Config, clock: Clock, verbosity: u8) -> Result<Client, kube::Error> {
    let trace = TraceLayer::new(verbosity, &config.cluster_url);
    let dated = move |response: http::Response<Box<DynBody>>| {
        clock.set(response.headers(), Timestamp::now());
        response
    };
    Ok(ClientBuilder::try_from(config)?.with_layer(&MapResponseLayer::new(dated)).with_layer(&trace).build())
}

fn explain(verb: &str, namespace: &str, name: &str, error: &kube::Error, flags: &Flags, command: &str) -> Trouble {
    let kube::Error::Api(status) = error else {
        return match error {
            kube::Error::Auth(error) => Trouble::unreachable(login(error, command, flags)),
            kube::Error::SerdeError(_) => Trouble::unreachable(format!(
                "the response is not that of a Kubernetes API server: check the context with {}",
                flags.cluster("cluster-info")
            )),
            _ => {
                let why = no_response(error);
                let (open, close) = if why.is_empty() { ("", "") } else { (" (", ")") };
                Trouble::unreachable(format!(
                    "the API server does not respond{open}{why}{close}: check the network, and the context with {}",
                    flags.cluster("cluster-info")
                ))
            }
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
            if namespace.is_empty() {
                flags.cluster(&format!("auth can-i {verb} rsec -A"))
            } else {
                flags.kubectl(&format!("auth can-i {verb} rsec"))
            }
        )),
        // The response names a missing object, but not a missing definition.
        404 if status.details.as_ref().is_some_and(|details| details.name == name && !name.is_empty()) => {
            Trouble::wrong(format!("there is no RotatedSecret {name} {what}: {} shows all", flags.cluster("rotatedsecret status -A")))
        }
        404 => Trouble::unreachable(format!(
            "this cluster does not serve RotatedSecret v1alpha1: is it the right --context? {} shows what it serves",
            flags.cluster("api-resources --api-group rotated-secrets.io")
        )),
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
            (answer(404, "NotFound", None), Exit::Unreachable, "does not serve RotatedSecret v1alpha1"),
            (answer(422, "Invalid", Some("db")), Exit::Wrong, "some words"),
            (answer(503, "ServiceUnavailable", None), Exit::Unreachable, "503"),
            (kube::Error::LinesCodecMaxLineLengthExceeded, Exit::Unreachable, "does not respond"),
        ] {
            let trouble = explain("patch", "shop", "db", &error, &Flags::default().within("shop"), "aws");
            assert_eq!(trouble.exit, exit, "{trouble}");
            assert!(trouble.to_string().contains(words), "{trouble}");
            assert_eq!(trouble.to_string().lines().count(), 1, "{trouble}");
        }
    }
}
