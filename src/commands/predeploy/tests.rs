use proptest::prelude::*;

use super::scans::may_ask_for_any_port;
use super::*;
use crate::rules::iptables_save::Listing;

const QUESTIONS: [PredeployQuestion; 6] = [
    PredeployQuestion::LockedOut,
    PredeployQuestion::LogLines,
    PredeployQuestion::Attacker,
    PredeployQuestion::Disguise,
    PredeployQuestion::Unasked,
    PredeployQuestion::Others,
];

fn facts() -> impl Strategy<Value = Vec<Fact>> {
    let tone =
        prop_oneof![Just(Assessment::Bad), Just(Assessment::Unknown), Just(Assessment::Note), Just(Assessment::Good)];
    let fact = (tone, 0..3_u8).prop_map(|(tone, number)| Fact::new(tone, format!("fact {number}")));
    prop::collection::vec(fact, 0..6)
}

fn answer(question: PredeployQuestion, facts: Vec<Fact>) -> QuestionAnswer {
    QuestionAnswer::new(question, facts, ["bad", "good"])
}

/// The headline for these facts.
fn headline(facts: &[Fact]) -> &'static str {
    let has = |tone| facts.iter().any(|fact| fact.tone == tone);
    match (has(Assessment::Bad), has(Assessment::Unknown)) {
        (true, _) => "bad",
        (false, true) => "Not known.",
        (false, false) => "good",
    }
}

fn is_sorted(answer: &QuestionAnswer) -> bool {
    answer.facts.is_sorted_by_key(|fact| fact.tone)
}

#[test]
fn a_rule_that_names_its_ports_asks_for_no_other_port_whatever_it_looks_at() {
    let asks = |rule: &str| {
        let text = format!("*filter\n-A INPUT {rule} -j DROP\nCOMMIT\n");
        let listing = Listing::parse(Family::Ipv4, &Source { name: "rules.v4".into(), text: text.into() });
        listing.rules().any(may_ask_for_any_port)
    };
    let string = "-m string --algo bm --string x";
    for ports in
        ["", "-p tcp --sport 22", "-p tcp ! --dport 22", "-p tcp --dport 22:24", "-p tcp -m multiport --dports 1,5:9"]
    {
        assert!(asks(&format!("{ports} {string}")), "{ports}");
    }
    for ports in ["-p tcp --dport 22", "-p udp --dport 22:23", "-p tcp -m multiport --dports 22,80"] {
        assert!(!asks(&format!("{ports} {string}")), "{ports}");
    }
    assert!(!asks("-p tcp --dport 22:24"));
}

proptest! {
    #[test]
    fn an_answer_follows_from_its_facts(question in prop::sample::select(&QUESTIONS[..]), facts in facts()) {
        let answer = answer(question, facts.clone());
        prop_assert_eq!(answer.answer, headline(&facts));
        prop_assert!(is_sorted(&answer));
    }

    #[test]
    fn an_answer_follows_from_the_facts_of_all_flavours(
        question in prop::sample::select(&QUESTIONS[..]),
        first in facts(),
        second in facts(),
    ) {
        let mut answers = Answers(vec![answer(question, first.clone())]);
        answers.add_of("another flavour", &Answers(vec![answer(question, second.clone())]));
        let Answers(answers) = answers;
        prop_assert_eq!(answers[0].answer, headline(&[first, second].concat()));
        prop_assert_eq!(answers[0].answer, headline(&answers[0].facts));
        prop_assert!(is_sorted(&answers[0]));
    }
}
