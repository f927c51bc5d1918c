"""What a key is made of changes with the log, how it is read, and the code that runs a trial."""

from taskroute.pipeline.experiments.trials.keys import digests_of


def test_digests_change_with_the_log_and_how_it_is_read():
    one = digests_of("log", "source", "taskroute.pipeline.experiments.tune.trainer")
    assert one == digests_of("log", "source", "taskroute.pipeline.experiments.tune.trainer")
    other_log = digests_of("another", "source", "taskroute.pipeline.experiments.tune.trainer")
    other_source = digests_of("log", "another", "taskroute.pipeline.experiments.tune.trainer")
    assert len({one["data"], other_log["data"], other_source["data"]}) == 3
    assert one["code"] == other_log["code"]


def test_the_digest_of_the_code_is_of_the_trainer_too():
    names = ("tune", "compare")
    digests = {
        digests_of("", "", f"taskroute.pipeline.experiments.{name}.trainer")["code"]
        for name in names
    }
    assert len(digests) == 2
