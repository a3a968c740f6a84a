"""S-VAM as published, written plainly: the reference that everything in ``svam_ros.networks`` must equal.

Nothing here is fast on purpose, and nothing is left out that the published evaluation computes: the UNet
attends with a materialised softmax, the text model runs twice, every copy of the reference goes through
the adapter, blocks whose output nobody reads are run, and the action expert encodes its context again at
every denoising step. Modules carry the published state-dict names, so a published state dict loads with
``strict=True``, in fp64, fp32 or fp16.

Read it in this order:

| file | published name | what it is |
|---|---|---|
| ``noise_schedule`` | scheduler | the one step at sigma 700 |
| ``video_unet`` | ``unet`` | SVD's UNet up to its second up block |
| ``text`` | ``text_encoder`` | CLIP's text model, run twice |
| ``resizing``, ``vision_transformer`` | | what both reference encoders are made of |
| ``dinov2``, ``depth_anything`` | ``dinov2``, ``da3_backbone`` | the two reference encoders |
| ``decoupler`` | ``hidden2dino``, ``hidden2dpa`` | both foresight decouplers |
| ``video_former`` | ``Video_Former`` | the Uni-Perceiver |
| ``action_transformer``, ``denoiser`` | ``model`` | the action expert and its sampler |
| ``groups`` | | sizes of every group, and one module for each |
| ``evaluation`` | | image, sentence and noise to actions |

Dropout is left out: this is the evaluation.
"""
