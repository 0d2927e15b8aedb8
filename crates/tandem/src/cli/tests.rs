//! What can be typed: the help texts as snapshots, and the rules that hold for every verb.

use clap::{CommandFactory, Parser};

use super::{Cli, Command};

/// Help is wrapped here, also on a wider terminal.
const WIDTH: usize = 100;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line.split(' '))
}

#[test]
fn the_command_line_is_well_formed() {
    Cli::command().debug_assert();
}

#[test]
fn only_what_asks_the_server_is_in_vain_while_it_is_stopped() {
    for (line, asks) in [
        ("status", true),
        ("store check", false),
        ("store snapshot", false),
        ("completions bash", false),
        // It waits for what it has asked, and sees to the asking itself.
        ("down", false),
    ] {
        let cli = parse(&format!("tandem {line}")).expect("it can be typed");
        assert_eq!(cli.command.asks_the_server(), asks, "{line}");
    }
}

#[test]
fn the_top_level_help_lists_every_verb() {
    let help = Cli::command().term_width(100).render_help().to_string();
    insta::assert_snapshot!(help);
}

#[test]
fn every_visible_verb_has_one_line_and_examples() {
    fn check(command: &clap::Command) {
        for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set() && verb.get_name() != "help")
        {
            let name = format!("{} {}", command.get_name(), verb.get_name());
            let about = verb.get_about().map(ToString::to_string).unwrap_or_default();
            assert!(!about.is_empty() && about.len() < 80 && !about.ends_with('.'), "{name}: {about:?}");
            if verb.has_subcommands() {
                check(verb);
                continue;
            }
            let after = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(after.contains("Example"), "{name} has no examples");
            let long = after.lines().find(|line| line.chars().count() > WIDTH);
            assert_eq!(long, None, "{name} is wrapped in an ugly way");
        }
    }
    check(&Cli::command());
}

#[test]
fn a_balancer_is_removed_by_people_and_started_by_up_or_alone() {
    let cli = parse("tandem balancer remove edge --confirm edge").expect("it parses");
    assert!(matches!(cli.command, Command::Balancer(args) if args.verb.is_some() && args.role.is_none()));
    let line = "tandem balancer --name a --server unix:/s --state /x --http 127.0.0.1:0 --http [::1]:0";
    let cli = parse(line).expect("it parses");
    assert!(matches!(cli.command, Command::Balancer(args) if args.verb.is_none() && args.role.is_some()));
    let cli = parse("tandem balancer --data /x --http 0.0.0.0:80").expect("it parses");
    assert!(matches!(cli.command, Command::Balancer(args) if args.role.is_some()));
    let help = parse("tandem balancer").expect_err("that says nothing").to_string();
    assert!(help.contains("remove") && help.contains("--http") && !help.contains("--state"), "{help}");
}

#[test]
fn a_data_folder_that_was_typed_wins_over_a_server_that_was_set() {
    let global = |line: &str| parse(line).expect("it parses").global;
    let set = || Some("http://far:7070".to_owned());
    assert_eq!(global("tandem ps").server_of(set()), set());
    assert_eq!(global("tandem ps --data /x").server_of(set()), None);
    let typed = global("tandem ps --data /x --server unix:/s").server_of(set());
    assert_eq!(typed.as_deref(), Some("unix:/s"));
}

#[test]
fn global_options_may_stand_behind_the_verb() {
    let cli = parse("tandem deploy --app shop --env staging -m why --no-wait --json").expect("it parses");
    assert_eq!(cli.global.app.as_ref().map(|app| app.as_str()), Some("shop"));
    assert_eq!(cli.global.environment().as_str(), "staging");
    assert_eq!(cli.global.message.as_deref(), Some("why"));
    assert!(cli.global.no_wait && cli.global.json);
}

#[test]
fn a_misspelled_verb_or_flag_is_refused_with_exit_code_2_and_a_suggestion() {
    for (line, suggestion) in [("tandem deplyo", "deploy"), ("tandem ps --jsn", "--json")] {
        let error = parse(line).expect_err("it is misspelled");
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains(suggestion), "{error}");
    }
}

#[test]
fn a_word_where_none_is_expected_is_probably_an_app() {
    for line in ["tandem logs shop", "tandem ps shop", "tandem releases shop -n 3"] {
        let mut error = parse(line).expect_err("it takes no word");
        super::advise(&mut error);
        assert!(error.to_string().contains("'--app shop'"), "{line}: {error}");
    }
    let mut error = parse("tandem logs --shop").expect_err("there is no such option");
    super::advise(&mut error);
    assert!(!error.to_string().contains("--app"), "{error}");
}

#[test]
fn wrong_names_and_numbers_are_refused_with_what_is_expected() {
    for (line, part) in [
        ("tandem ps --app Shop", "lower-case letters"),
        ("tandem rollback b7", "such as r12"),
        ("tandem scale web", "PROCESS=NUMBER"),
        ("tandem scale worker=-1", "such as worker=3"),
        ("tandem token create A/B", "hyphens"),
    ] {
        let error = parse(line).expect_err("it is wrong");
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains(part), "{line}: {error}");
    }
}

#[test]
fn the_short_options_that_people_know_work() {
    let cli = parse("tandem logs -f -n 5 --process worker").expect("it parses");
    assert!(matches!(cli.command, Command::Logs(_)));
    let cli = parse("tandem scale web=3 worker=2").expect("it parses");
    assert!(matches!(cli.command, Command::Scale(_)));
}
