"""A study on the labelled sample room: started in the sidebar, two objects clicked out and submitted, then stopped."""

from scene_artist import click_object, look_down, open_scan

SEED = "123"  # asks for the two sofas first
CLICKS = (2, 5)  # at most, of the first object and of the second: where no error is seen any more, none is clicked


def choose_seed(stage, area):
    """Type the seed into its field, the third of the file browser's options."""
    options = next(r for r in area.regions if r.type == "TOOL_PROPS")
    yield from stage.move((options.x + options.width * 0.7, options.y + options.height - 73))
    yield from stage.tap("RET")
    yield from stage.write(SEED)
    yield from stage.tap("RET")
    yield from stage.move((area.x + area.width / 2, area.y + area.height / 2))  # or Return edits the field again
    yield from stage.pause(0.3)


def play(stage):
    labels = open_scan(stage)
    stage.preferences.study_mode = True
    yield
    yield from stage.sidebar()
    yield from look_down(stage)
    yield from stage.press("scanpick.study_start")
    browser = yield from stage.file_browser()
    yield from choose_seed(stage, browser)
    yield from stage.shot("1_browser")
    yield from stage.tap("RET")
    study = stage.module("study.study")
    yield from stage.until(lambda: study.running() is not None, "the study")
    recording = study.running()
    for place, clicks in enumerate(CLICKS):
        target = labels == recording.task
        yield from stage.shot(f"{place + 2}_task")
        curve = yield from click_object(stage, target, recording.number, clicks, good=1.1)
        assert len(curve) >= 2, f"only {len(curve)} clicks found a place"
        yield from stage.press("scanpick.study_submit")
        yield from stage.until(lambda p=place: len(recording.done) == p + 1, "the submission")
        stage.facts.setdefault("curves", []).append(curve)
    yield from stage.shot("4_submitted")
    yield from stage.press("scanpick.study_stop")
    yield from stage.until(lambda: study.running() is None, "the end of the study")
    stage.facts["session"] = str(recording.path)
    stage.facts["clicks"] = [len(entry["clicks"]) for entry in recording.done]
    yield from stage.shot("5_stopped")
