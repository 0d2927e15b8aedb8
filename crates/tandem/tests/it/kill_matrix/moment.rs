//! When the victim is killed.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use tandem_kit::paths::DataDir;
use tandem_kit::points::{Effect, Point};

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    /// When somebody has come to the point, and while it is held there.
    At(Point),
    /// While what a build runs is held there.
    Build(Stage),
    /// This long after the operation began.
    After(Duration),
}

impl Moment {
    /// Whether who is held there lives on when its runner is killed: then the next runner has to meet it as it is.
    pub(super) fn is_of_shim(self) -> bool {
        let of_shim = [Effect::ShimBegun, Effect::ShimMarked, Effect::ShimStarted, Effect::ShimEnded];
        of_shim.into_iter().any(|effect| self == Self::At(effect.into()))
    }
}

impl std::fmt::Display for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::At(point) => point.fmt(f),
            Self::Build(stage) => write!(f, "build-{}", stage.name()),
            Self::After(time) => write!(f, "after {} ms", time.as_millis()),
        }
    }
}

/// How far a program that a build runs has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// It has done nothing.
    Begin,
    /// What it makes is on the disk by half.
    Middle,
    /// All is done but its end.
    End,
}

impl Stage {
    /// All of them.
    pub(super) const ALL: [Self; 3] = [Self::Begin, Self::Middle, Self::End];

    fn name(self) -> &'static str {
        match self {
            Self::Begin => "begin",
            Self::Middle => "middle",
            Self::End => "end",
        }
    }

    /// Whether it has come there.
    pub(super) fn is_reached(self, data: &DataDir) -> bool {
        package_of(data).join(format!("reached.{}", self.name())).exists()
    }

    /// Lets it go on, where it still lives.
    pub(super) fn let_go(self, data: &DataDir) {
        // It is not there where the build has been cleared away with all that it was given.
        let _ = fs::remove_file(package_of(data).join(format!("hold.{}", self.name())));
    }
}

/// Where a build has the package, and builds it in place.
fn package_of(data: &DataDir) -> PathBuf {
    data.build().join("plain/work/app/held")
}

/// The source of a package that has to be built, by a program that waits at the stage.
pub(super) fn package(stage: Stage, turn: u32) -> [(String, String); 3] {
    let project = format!(
        "[project]\nname = \"held\"\nversion = \"1.{turn}\"\n\
         [build-system]\nrequires = []\nbuild-backend = \"backend\"\nbackend-path = [\".\"]\n"
    );
    [
        ("held/pyproject.toml".to_owned(), project),
        ("held/backend.py".to_owned(), format!("TURN = {turn}\n{BACKEND}")),
        (format!("held/hold.{}", stage.name()), "as long as this is here\n".to_owned()),
    ]
}

const BACKEND: &str = r#"
import os, time, zipfile

HERE = os.path.dirname(os.path.abspath(__file__))
NAME = f"held-1.{TURN}"

def stage(name):
    hold = f"{HERE}/hold.{name}"
    if os.path.exists(hold):
        open(f"{HERE}/reached.{name}", "w").close()
        while os.path.exists(hold):
            time.sleep(0.01)

def build_wheel(folder, settings=None, metadata=None):
    stage("begin")
    wheel = f"{NAME}-py3-none-any.whl"
    with zipfile.ZipFile(f"{folder}/{wheel}", "w") as file:
        file.writestr("held.py", f"turn = {TURN}\n")
        stage("middle")
        about = f"{NAME}.dist-info"
        file.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: held\nVersion: 1.{TURN}\n")
        file.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{about}/RECORD", "")
    stage("end")
    return wheel
"#;
