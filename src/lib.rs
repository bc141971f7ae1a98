//! `scanlab` proves what a firewall ruleset does, by asking the real kernel.
//!
//! It takes the *intent* of a sensor (which ports are served, watched or refused, which scans are logged, under which
//! MAC address it hides), generates the iptables ruleset for it (or takes yours), loads it in a throw-away network
//! namespace behind a TAP (or TUN) interface, plays the attacker on the other end of that interface with nmap-equivalent
//! probes, reads back the replies, the kernel's log lines and the path of every packet through the rules, and reports each
//! mismatch between expected and observed, with the reason.
//!
//! # The one idea
//!
//! **The kernel has answered before `write()` returns.** A frame written to a TAP runs the whole receive path (netfilter,
//! TCP, the reply, printk, the rule trace) in the writer's own context. So a probe is a function call, and *no reply* is a
//! fact, not a timeout. No manual promises this, hence three guards: every batch ends with a *fence* that no iptables rule
//! can hold back (an ARP probe; on a TUN, a packet that the lab's own table logs in front of every table of iptables), and
//! the lab waits for the fence; what belongs to a probe is told by what the probe carries, never by order; and *canaries*,
//! before and after, prove that log and trace are being read. Trace, log and reply are three witnesses of every probe, which
//! must agree. A blind, lossy or contradicted instrument is an error of its own ([`error::CannotMeasure`], exit status 3),
//! never a verdict. [`selftest`] plants faults in each of these, and fails when one of them fools the lab.
//!
//! # The straight line
//!
//! ```text
//! scenario ─► sensor ─► ruleset ──────► lab: namespace, TAP, rules, listeners, log
//!       │        └────► expect ──┐
//!       └─► plan ─► probes ──► lab.send ─► observations ─► compare ─► checks ─► explain ─► report ─► exit status
//! ```
//!
//! A patch that [`explain`] proposes goes once around this line before anybody is told of it, and so does every mutant of
//! [`mutate`]. What a rule *does* is measured, always; a rule is *read* ([`iptables_save`]) to say why it did not match, to
//! know what to send, and to break it.
//!
//! Expectations ([`expect`]) come from the sensor alone and never see the ruleset, or both would share one bug.
//!
//! [`findings`] need no expectations: [`sweep`] makes every packet that a ruleset tells apart, the lab sends them all, and
//! a rule that none of them matches is dead if [`space`] proves it for all other packets, too; else it is not provable.
//!
//! # Rooms
//!
//! A module imports from its own row or from those below it.
//!
//! | row | modules | |
//! | --- | --- | --- |
//! | 6 | `main`, [`cli`] | the only place that reads the environment and sets the exit status |
//! | 5 | [`run`], [`survey`], [`predeploy`], [`mutate`], [`record`], [`diff`], [`lesson`], [`selftest`], [`report`] | the steps of a run; whole scans; what the person at the machine asks; mutants tried; what a ruleset does, written down; two rulesets, told apart; a technique played with the firewall and without; faults planted in the lab itself; facts formatted for people and programs |
//! | 4 | [`lab`], [`live`], [`plan`], [`compare`], [`check`], [`explain`], [`coverage`], [`findings`] | processes, sockets and files of a run live in `lab` only; `live` reads the machine, and changes nothing |
//! | 3 | [`admission`], [`ruleset`], [`expect`], [`scenario`], [`built_in`], [`lint`], [`mutant`] | generator and oracle are siblings that never meet |
//! | 2 | [`sensor`], [`scan`], [`phase`], [`frame`], [`headers`], [`probe`], [`discovery`], [`sweep`], [`space`], [`canary`], [`reply`], [`observation`], [`alike`], [`glance`], [`dissect`], [`relayed`], [`port_selection`], [`services_file`], [`conntrack`], [`path`], [`explanation`], [`left_the_world`], [`note`], [`iptables_save`], [`log_line`], [`vendor`] | pure |
//! | 1 | [`port`], [`rate`], [`net`], [`sysctl`], [`visible`], [`words`], [`inert`], `field`, [`side_by_side`], [`error`], `sys` | `sys` holds all `unsafe` |
//!
//! # What one check may not do to the next
//!
//! A `limit` match remembers packets, conntrack remembers flows. Flows never meet, since every probe has a port pair of
//! its own. Limits are watched: as soon as one may be used up, the rules that count are renewed in place before the next
//! probe is sent (the lab's `fresh_limits`). The check of a *rate* is the one that lets a limit run dry, on purpose.
//!
//! # What is no scan
//!
//! A scenario can speak of any packet that [`sweep`] sends: odd flags, another protocol, a segment within a connection,
//! what the host sends itself. Such a *packet row* is written as [`sweep::Packet`] reads it. All of them share a lab in which
//! limits are out of the way, since they ask whether a rule takes a packet, not how often. They rest on two witnesses, the
//! rule trace and the kernel's log, which must agree; nobody looks at the host's answer.
//!
//! # Two kinds of everything
//!
//! Rules may be those of nf_tables or of x_tables, the link a TAP or a TUN, the log the kernel's own or NFLOG, the user root
//! or anybody: the lab's [`Equipment`](lab::Equipment). nf_tables tells its rule trace over netlink; x_tables tells its own
//! through NFLOG, and the lab's own table marks beginnings and ends on the same socket. With NFLOG capture the ruleset is
//! loaded as given, and then a copy with NFLOG in the place of LOG, whose lines [`log_line`] renders as the kernel would. An
//! ordinary user's lab stands in a user namespace. Each choice changes how something is seen, and never what is reported.
//!
//! # What was on the link
//!
//! Where somebody asks for it ([`Watch::Frames`](lab::Watch::Frames)), every frame is recorded where it is sent or read, and
//! claimed by its probe at that very place: nothing is guessed from its bytes afterwards. Captures, pages and lessons show
//! the same frames; [`dissect`] gives each byte the name that its RFC has for it. A page is a report or a lesson with its
//! style, script and data in one file; every text in it goes through one escaper.
//!
//! # Real tools
//!
//! In `exec` a real tool takes the prober's place: a relay between two TAPs records every frame, and ties lines and paths to
//! it. The tool runs beneath the first process of a PID namespace, so that nothing of it outlives scanlab.
//!
//! # The host is sacred
//!
//! Nothing is named or pinned: the namespace lives by its file descriptors, so that `kill -9` leaves nothing. What changes
//! rules, links or sysctls asks for the proof that its thread is not in the host's namespace. The one exception, and only
//! where the kernel's own log is read, is `nf_log_all_netns`, without which LOG rules print in the first namespace only: it is counted by a lock that only root may open, restored by the
//! last one out, and healed by the next run or `scanlab doctor`. Locks are files in a folder that the last run removes.
//!
//! Labs share the kernel's log with the whole machine: they take turns, and a line is a probe's own only if it carries
//! that probe's addresses, ports and number.

pub mod admission;
pub mod alike;
pub mod built_in;
pub mod canary;
pub mod check;
pub mod cli;
pub mod compare;
pub mod conntrack;
pub mod coverage;
pub mod diff;
pub mod discovery;
pub mod dissect;
pub mod error;
pub mod expect;
pub mod explain;
pub mod explanation;
mod field;
pub mod findings;
pub mod frame;
pub mod glance;
pub mod headers;
pub mod hidden;
pub mod inert;
pub mod iptables_save;
pub mod lab;
pub mod left_the_world;
pub mod lesson;
pub mod lint;
pub mod live;
pub mod log_line;
pub mod mutant;
pub mod mutate;
pub mod net;
pub mod note;
pub mod observation;
pub mod path;
pub mod phase;
pub mod plan;
pub mod port;
pub mod port_selection;
pub mod predeploy;
pub mod probe;
pub mod rate;
pub mod record;
pub mod relayed;
pub mod reply;
pub mod report;
pub mod ruleset;
pub mod run;
pub mod scan;
pub mod scenario;
pub mod selftest;
pub mod sensor;
pub mod services_file;
pub mod side_by_side;
pub mod space;
pub mod survey;
pub mod sweep;
mod sys;
pub mod sysctl;
pub mod vendor;
pub mod visible;
pub mod words;
