//! The first value of an object, read once from a Secret of its namespace whose annotation names the object.

use std::str;

use k8s_openapi::api::core::v1::Secret;
use kube::api::Api;
use kube::{Client, ResourceExt as _};
use zeroize::Zeroize as _;

use super::failed;
use crate::api::condition::Reason;
use crate::api::{INITIAL_VALUE_FOR, InitialRef};
use crate::backoff::Class;
use crate::command::{Command, ObjectRef};
use crate::failure::Failure;
use crate::plaintext::Plaintext;

/// What is under the key of `reference`, for this object.
///
/// # Errors
/// Reason `InitialValueMissing` if there is no such Secret or key, if the Secret does not name the object, or if the content is
/// empty or no text; the reason of the API server's refusal.
pub async fn read(client: &Client, object: ObjectRef<'_>, reference: &InitialRef) -> Result<Plaintext, Failure> {
    let secrets = Api::<Secret>::namespaced(client.clone(), object.namespace);
    let found = secrets.get_opt(&reference.secret_name).await.map_err(|error| failed("reading the Secret of initialRef", &error))?;
    let Some(mut secret) = found else { return Err(missing(reference, "does not exist")) };
    let content = take(&mut secret, &reference.key);
    let named = secret.annotations().get(INITIAL_VALUE_FOR).is_some_and(|by| by == object.name);
    if !named {
        let offered = ObjectRef { namespace: object.namespace, name: &reference.secret_name };
        let annotate = Command::AnnotateForInitialValue { secret: offered, by: object.name };
        return Err(missing(
            reference,
            &format!("does not name this object: who may read the Secret permits it with the annotation {INITIAL_VALUE_FOR} ({annotate})"),
        ));
    }
    let Some(content) = content else { return Err(missing(reference, "does not have this key")) };
    if content.is_empty() {
        return Err(missing(reference, "has an empty text under this key"));
    }
    String::from_utf8(content).map(Plaintext::from).map_err(|error| {
        error.into_bytes().zeroize();
        missing(reference, "has bytes under this key that are no UTF-8 text")
    })
}

/// The content of one key. What the others have is overwritten.
fn take(secret: &mut Secret, key: &str) -> Option<Vec<u8>> {
    let mut taken = None;
    for (name, content) in secret.data.take().unwrap_or_default() {
        let mut content = content.0;
        if name == key {
            taken = Some(content);
        } else {
            content.zeroize();
        }
    }
    taken
}

fn missing(reference: &InitialRef, what: &str) -> Failure {
    let InitialRef { secret_name, key } = reference;
    Failure {
        class: Class::Retry,
        reason: Reason::InitialValueMissing,
        message: format!("spec.value.initialRef: the Secret {secret_name} (key {key}) {what}; no value is created until it can be read"),
        request_id: None,
    }
}
