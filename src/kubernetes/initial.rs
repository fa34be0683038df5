//! The first value of an object, read once from a Secret of its namespace whose annotation names the object.

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Client;
use kube::api::Api;
use zeroize::Zeroize as _;

use super::failed;
use crate::api::condition::Reason;
use crate::api::{INITIAL_VALUE_FOR, InitialRef};
use crate::backoff::Class;
use crate::command::{Command, ObjectRef};
use crate::failure::Failure;
use crate::plaintext::Plaintext;

/// What is under the key of `reference`, for this object. Values are read only after the metadata show the consent.
///
/// # Errors
/// Reason `InitialValueMissing` if there is no such Secret or key, if the Secret does not name the object, or if the content is
/// empty or not text; the reason of the API server's refusal.
pub async fn read(client: &Client, object: ObjectRef<'_>, reference: &InitialRef) -> Result<Plaintext, Failure> {
    const READING: &str = "reading the Secret of initialRef";
    let secrets = Api::<Secret>::namespaced(client.clone(), object.namespace);
    let metadata = secrets.get_metadata_opt(&reference.secret_name).await.map_err(|error| failed(READING, &error))?;
    consent(object, reference, metadata.map(|found| found.metadata).as_ref())?;
    let found = secrets.get_opt(&reference.secret_name).await.map_err(|error| failed(READING, &error))?;
    // It may have changed since then.
    consent(object, reference, found.as_ref().map(|secret| &secret.metadata))?;
    let Some(content) = found.and_then(|secret| take(secret, &reference.key)) else {
        return Err(missing(reference, "does not have this key"));
    };
    if content.is_empty() {
        return Err(missing(reference, "is empty under this key"));
    }
    String::from_utf8(content).map(Plaintext::from).map_err(|error| {
        error.into_bytes().zeroize();
        missing(reference, "is not UTF-8 text under this key")
    })
}

fn consent(object: ObjectRef<'_>, reference: &InitialRef, found: Option<&ObjectMeta>) -> Result<(), Failure> {
    let Some(metadata) = found else { return Err(missing(reference, "does not exist")) };
    if metadata.annotations.as_ref().and_then(|all| all.get(INITIAL_VALUE_FOR)).is_some_and(|by| by == object.name) {
        return Ok(());
    }
    let offered = ObjectRef { namespace: object.namespace, name: &reference.secret_name };
    let annotate = Command::AnnotateForInitialValue { secret: offered, by: object.name };
    Err(missing(
        reference,
        &format!(
            "does not name this object: a user who may change the Secret permits it with the annotation {INITIAL_VALUE_FOR} ({annotate})"
        ),
    ))
}

/// The content of one key. What the others have is overwritten.
fn take(secret: Secret, key: &str) -> Option<Vec<u8>> {
    let mut taken = None;
    for (name, content) in secret.data.unwrap_or_default() {
        let mut content = content.0;
        if name == key {
            taken = Some(content);
        } else {
            content.zeroize();
        }
    }
    taken
}

/// The failure for a Secret that cannot be used.
pub(crate) fn missing(reference: &InitialRef, what: &str) -> Failure {
    let InitialRef { secret_name, key } = reference;
    Failure {
        class: Class::Retry,
        reason: Reason::InitialValueMissing,
        message: format!("spec.value.initialRef: the Secret {secret_name} (key {key}) {what}; no value is created until it can be read"),
        request_id: None,
    }
}
