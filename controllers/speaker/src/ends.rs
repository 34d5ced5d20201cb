//! Connects the part that talks to the API server with the wires.

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::agent::Ends;
use crate::links::{Order, Report};
use crate::wires::Wires;

/// The agent's ends, and the task that brings its orders to the wires; that ends when the agent has dropped its ends.
pub fn connect(
    wires: Wires,
    reports: UnboundedReceiver<Report>,
) -> (Ends, impl Future<Output = ()> + Send + use<>) {
    let (orders, mut ordered) = unbounded_channel();
    let ends = Ends { links: wires.links(), orders, reports };
    let forward = async move {
        while let Some(order) = ordered.recv().await {
            match order {
                Order::Stand { link, standing } => wires.set_standing(link, standing),
                Order::Want { link, changes } => wires.want(link, changes),
                Order::Fleet(fleet) => wires.set_fleet(fleet),
            }
        }
    };
    (ends, forward)
}
