//! Requests of reconciles because something happened. They come before routine work.

use tokio::sync::mpsc::UnboundedSender;

use crate::fairness::{Key, Permits, Urgency};

/// Requests the reconcile of an object. `wake` is that of its controller.
pub(super) fn request(permits: &Permits, wake: &UnboundedSender<Key>, object: &Key, urgency: Urgency) {
    permits.hurry(object.clone(), urgency);
    // The receiver ends with the controller.
    let _ = wake.send(object.clone());
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc::unbounded_channel;

    use super::*;
    use crate::fairness::Answer;
    use crate::metrics::Metrics;

    #[test]
    fn an_object_that_is_requested_overtakes_those_that_wait_and_its_own_earlier_place() {
        let (wake, mut woken) = unbounded_channel();
        let permits = Permits::new(1, Metrics::new());
        let ask = |name: &str| permits.ask(&Key::new("shop", name), Urgency::Routine, &wake);
        let Answer::Granted(first) = ask("first") else { panic!("a permit is free") };
        for name in ["routine", "waits", "changed"] {
            assert!(matches!(ask(name), Answer::Waiting), "{name}");
        }
        for name in ["changed", "new"] {
            request(&permits, &wake, &Key::new("shop", name), Urgency::News);
            assert_eq!(woken.try_recv().map(|key| key.name.to_string()).as_deref(), Ok(name));
            assert!(matches!(ask(name), Answer::Waiting), "{name}");
        }
        drop(first);
        let mut order = Vec::new();
        while let Ok(key) = woken.try_recv() {
            order.push(key.name.to_string());
            drop(permits.ask(&key, Urgency::Routine, &wake));
        }
        assert_eq!(order[..2], ["changed", "new"], "{order:?}");
        assert_eq!(order.len(), 4, "{order:?}");
    }
}
