//! S2:start-before-its-predecessor-is-finished, seed 4. Written by `procession replay --emit-test`.

#[test]
fn s2_start_before_its_predecessor_is_finished_seed_4() {
    procession_sim::must_hold(REPORT);
}

const REPORT: &str = r#"procession-failure 1
core 0.1.0
origin sim
mutant 5
verdict S2 start-before-its-predecessor-is-finished
detail key=Some(0) msg=1 partition=0 position=4 epoch=1 at=22000000: msg=Some(0) at position=Some(3) is not
shrunk from 76 faults, 9 messages to 1 faults, 2 messages in 84 runs
seed 4
[config]
order = key
keyless = unordered
partitions = 1
limit-messages = 2
limit-bytes = 4000
limit-partition-messages = 2
limit-partition-bytes = 4000
low-water-percent = 100
key-messages = 4294967295
message-bytes-max = 256
window = 64
window-pool = 64
retry-attempts = 2
retry-first = 1000000
retry-max = 1000000
retry-jitter = 0
handler-timeout = 12000000
cancel-grace = 10000000
stall-after = 1000000
parked-keys = 0
on-reset = latest
commit-every = 1000000
commit-messages = 1
commit-first = 1000000
commit-max = 1000000
commit-jitter = 0
map-bytes = 0
dedupe-ids = 0
dedupe-age = 600000000000
letter-first = 1000000
letter-max = 1000000
letter-jitter = 0
session-first = 1000000
session-max = 1000000
session-jitter = 0
jitter-seed = 7066489362841505310
[world]
profile = swarm
model = kafka
members = 1
messages = 2
keys = 2
lanes = 0
heal-at = 30000000
patience = 10000000000
ticks = 0
quantum = 1000000
lease = 600000000
concurrency = 4294967295
batch = 1
beat = 2000000000
crash-at = -
shake-at = -
audit = no
latency = 1000000
[workload]
publish at=0 number=4 identity=4 partition=0 key=0 lane=1 bytes=1 malformed=no poison=no hole=0 trail=0
publish at=0 number=8 identity=8 partition=0 key=0 lane=1 bytes=1 malformed=no poison=no hole=0 trail=0
[faults]
handler-hang 4 1
[inputs]
1000000 m0 start
6000000 m0 open partition=0 epoch=1 frontier=- anchor=- stamp=- map=- recorded=- incarnation=1 log-start=3 log-end=5 until=-
6000000 m0 poll cssdlkpwnrfggxcsdlkpwnrfgxt
7000000 m0 session partition=0 epoch=1 session=1 found=continues from=-
7000000 m0 poll csdlkpwnrfgxtc
8000000 m0 poll sdlkpwnrfgxtc
9000000 m0 poll sdlkpwnrfgxt
9000000 m0 offer partition=0 epoch=1 session=1 delivery=- position=3 stamp=1 lane=1 key=5692161d100b05e52cfa56b4a2af9298 identity=18aa0cfb6a5535919c0f699516f39339 bytes=1 quarantine=- message=0
9000000 m0 poll csddlkpwnrfgxcsdlkpwnrfgxt
10000000 m0 timeout
10000000 m0 poll csdlkpwnnrfgxcsdlkpwnrfgxttcsdlkpwnrfgxt
10000000 m0 offer partition=0 epoch=1 session=1 delivery=- position=4 stamp=2 lane=1 key=5692161d100b05e52cfa56b4a2af9298 identity=f96a8578e0a9a74f137d044a523c2658 bytes=1 quarantine=- message=1
10000000 m0 poll csdlkpwnrfgxt
21000000 m0 timeout
21000000 m0 poll ccsdlkpwnrfgxcsdlkpwnrfgxttcsdlkpwnrfgxt
22000000 m0 settle token=4294967296 outcome=cancelled message=0
22000000 m0 poll csd
[outputs]
582f7433 aa62ab29 785b54d6 a844c665 e7a22586 41ee13f6 1517b145 5ffd62a7
e169175c eb626ff9 f7eb7619 79647f80 9786eeb3 f7885cba 26b657d8 5e90cf42
368dbfdd
[digest]
68e7b880046b7f41
"#;
