//! Documents as values of their kinds.

use std::sync::Arc;

use serde_json::Value;
use tandem_types::api::{Installation, Token};
use tandem_types::app::App;
use tandem_types::assignment::Assignment;
use tandem_types::build::Build;
use tandem_types::document::{Kind, kind_name};
use tandem_types::environment::Environment;
use tandem_types::git::{DeployKey, GitHosts};
use tandem_types::https::{AcmeAccount, Certificate, CertificateOrder, Challenges, LocalAuthority};
use tandem_types::instance::HostObservation;
use tandem_types::release::Release;
use tandem_types::rollout::Rollout;
use tandem_types::routing::{BalancerStatus, RoutingDocument};
use tandem_types::session::Session;

/// Declares the kinds that are kept as values.
macro_rules! bodies {
    ($($name:ident($type:ty)),* $(,)?) => {
        /// A document's value.
        #[derive(Debug, Clone)]
        pub(crate) enum Body {
            $($name(Arc<$type>),)*
            /// Of a kind that is not known here, or not what its kind says.
            Unknown,
        }

        /// A kind that is kept as a value.
        pub(crate) trait Mirrored: Kind + Send + Sync + 'static {
            /// The value, where the body is of this kind.
            fn of(body: &Body) -> Option<&Arc<Self>>;
        }

        $(impl Mirrored for $type {
            fn of(body: &Body) -> Option<&Arc<Self>> {
                match body {
                    Body::$name(value) => Some(value),
                    _ => None,
                }
            }
        })*

        impl Body {
            /// Reads a body by its kind, whatever the version: fields that are not known are passed over.
            pub(crate) fn read(kind: &str, body: Value, key: &str) -> Self {
                let name = kind_name(kind);
                $(if name == kind_name(<$type as Kind>::KIND) {
                    return match serde_json::from_value(body) {
                        Ok(value) => Self::$name(Arc::new(value)),
                        Err(error) => {
                            tracing::error!("failed to read {key} as {kind}: {error}");
                            Self::Unknown
                        }
                    };
                })*
                Self::Unknown
            }
        }
    };
}

bodies! {
    AcmeAccount(AcmeAccount),
    App(App),
    Assignment(Assignment),
    Balancer(BalancerStatus),
    Build(Build),
    Certificate(Certificate),
    CertificateOrder(CertificateOrder),
    Challenges(Challenges),
    DeployKey(DeployKey),
    Environment(Environment),
    GitHosts(GitHosts),
    Host(HostObservation),
    Installation(Installation),
    LocalAuthority(LocalAuthority),
    Release(Release),
    Rollout(Rollout),
    Routing(RoutingDocument),
    Session(Session),
    Token(Token),
}

impl Body {
    /// Whether documents of this kind have no revision of their own.
    pub(crate) fn is_volatile(&self) -> bool {
        matches!(self, Self::Host(_) | Self::Balancer(_))
    }
}
