from deployments.metadata import describe, infotext
from tests.generation import generation_request, model_spec


def described(
    family="flux", frame_count=None, output=0, sampler="FlowMatchEulerDiscreteScheduler", **changes
):
    request = generation_request(model_spec(family), **changes)
    return describe(request, output=output, width=48, height=32, frame_count=frame_count, sampler=sampler)


def test_infotext_reads_as_automatic1111_writes_it():
    assert infotext(described()) == (
        "a red circle\nNegative prompt: blurry\n"
        "Steps: 2, Sampler: Euler, CFG scale: 4.0, Seed: 7, Size: 48x32, Model: tiny-flux"
    )


def test_infotext_leaves_an_empty_negative_prompt_out():
    assert "Negative" not in infotext(described(negative_prompt=""))


def test_a_sampler_without_a_common_name_keeps_its_own():
    assert described(sampler="DPM++ 2M, Karras")["sampler"] == "DPM++ 2M, Karras"
    assert 'Sampler: "DPM++ 2M, Karras",' in infotext(described(sampler="DPM++ 2M, Karras"))


def test_outputs_are_numbered_from_one_and_have_their_own_seeds():
    third = described(output=2, num_outputs=3)
    assert (third["image_number"], third["total_images"], third["seed"]) == (3, 3, 9)


def test_only_a_video_has_a_length():
    clip = described("wan_t2v", frame_count=9)
    assert (clip["type"], clip["fps"], clip["frame_count"], clip["duration_seconds"]) == (
        "video",
        8,
        9,
        1.125,
    )
    assert not {"fps", "frame_count", "duration_seconds", "source_image_id"} & described().keys()


def test_an_animated_picture_names_its_source():
    assert described("ltx_i2v", frame_count=9)["source_image_id"] == "picture"
