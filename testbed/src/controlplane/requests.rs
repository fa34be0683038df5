//! Requests to the API server by kind, counted from its audit log.

use super::audit::AuditEvent;

impl AuditEvent {
    /// Whether the request was to change something, whatever came of it. Leases apart: leader election writes them all the time.
    pub fn is_change(&self) -> bool {
        !matches!(self.verb.as_str(), "get" | "list" | "watch") && self.resource != "leases"
    }
}

/// How often a client did what. Refused requests count, too.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Requests {
    /// Gets and lists; each page of a list is one.
    pub reads: u64,
    /// Everything that changes an object, Events included.
    pub writes: u64,
    /// Watches that have ended; the audit log shows none before.
    pub watches: u64,
    /// Reads and writes of Leases, which leader election makes all the time.
    pub leases: u64,
}

impl Requests {
    /// Counts these.
    pub fn of<'a>(events: impl IntoIterator<Item = &'a AuditEvent>) -> Self {
        let mut requests = Self::default();
        for event in events {
            let count = match event.verb.as_str() {
                _ if event.is_change() => &mut requests.writes,
                _ if event.resource == "leases" => &mut requests.leases,
                "watch" => &mut requests.watches,
                _ => &mut requests.reads,
            };
            *count += 1;
        }
        requests
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(verb: &str, resource: &str) -> AuditEvent {
        AuditEvent {
            user: String::new(),
            user_agent: String::new(),
            verb: verb.to_owned(),
            resource: resource.to_owned(),
            subresource: String::new(),
            namespace: String::new(),
            name: String::new(),
            code: 403,
            uri: String::new(),
            received: String::new(),
            raw: String::new(),
        }
    }

    #[test]
    fn leases_and_watches_are_counted_apart() {
        let events = [
            event("get", "secrets"),
            event("list", "rotatedsecrets"),
            event("watch", "secrets"),
            event("watch", "leases"),
            event("update", "leases"),
            event("create", "events"),
            event("patch", "rotatedsecrets"),
            event("deletecollection", "secrets"),
        ];
        assert_eq!(Requests::of(&events), Requests { reads: 2, writes: 3, watches: 1, leases: 2 });
    }
}
