//! What balancers see of requests, kept in memory for some minutes: who asks wants to know how things stand, and a server that
//! was away has missed nothing that anybody decides on.

use tandem_rules::traffic::Filter;
use tandem_types::BalancerId;
use tandem_types::problem::Problem;
use tandem_types::traffic::{SlowMinute, Top, TrafficReport};

use crate::handle::Handle;

impl Handle {
    /// Takes in what a balancer saw since its last report. Nothing is written down.
    ///
    /// # Errors
    /// `wrong_balancer` where the report is of another balancer.
    pub fn record_traffic(&self, balancer: &BalancerId, report: TrafficReport) -> Result<(), Problem> {
        if report.balancer != *balancer {
            let title = format!("the report is of {}, not of {balancer}", report.balancer);
            return Err(Problem::new(422, "wrong_balancer", title));
        }
        let now = self.shared.now();
        self.shared.traffic.lock().expect("no holder of this lock panics").take(now, report);
        Ok(())
    }

    /// The last minute's traffic.
    #[must_use]
    pub fn top(&self, filter: &Filter) -> Top {
        let now = self.shared.now();
        self.shared.traffic.lock().expect("no holder of this lock panics").top(now, filter)
    }

    /// The slowest requests of each minute of the last hour, the latest minute first.
    #[must_use]
    pub fn slow(&self, filter: &Filter) -> Vec<SlowMinute> {
        self.shared.traffic.lock().expect("no holder of this lock panics").slow(filter)
    }
}
