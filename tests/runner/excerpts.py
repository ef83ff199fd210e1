"""Excerpts of what recorded runs of sd-scripts and musubi-tuner wrote at their end."""

from __future__ import annotations

ACCELERATE = """\
Traceback (most recent call last):
  File "/home/user/sd/.venv/bin/accelerate", line 8, in <module>
    sys.exit(main())
             ^^^^^^
  File "/home/user/sd/.venv/lib/python3.11/site-packages/accelerate/commands/launch.py", line 795, in simple_launcher
    raise subprocess.CalledProcessError(returncode=process.returncode, cmd=cmd)
subprocess.CalledProcessError: Command '['/home/user/sd/.venv/bin/python3.11', 'sdxl_train_network.py', '--sdpa']' \
returned non-zero exit status 1.
"""
WARMUP = """\
                    INFO     use AdamW optimizer | {}         train_util.py:5096
Traceback (most recent call last):
  File "/home/user/sd-scripts/sdxl_train_network.py", line 234, in <module>
    trainer.train(args)
  File "/home/user/sd-scripts/library/train_util.py", line 5330, in get_scheduler_fix
    return wrap_check_needless_num_warmup_steps(schedule_func(optimizer, **lr_scheduler_kwargs))
           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "/home/user/sd-scripts/library/train_util.py", line 5296, in wrap_check_needless_num_warmup_steps
    raise ValueError(f"{name} does not require `num_warmup_steps`. Set None or 0.")
ValueError: SchedulerType.CONSTANT does not require `num_warmup_steps`. Set None or 0.
"""
BAD_FLAG = """\
                             [--cache_text_encoder_outputs]
                             [--disable_mmap_load_safetensors]
sdxl_train_network.py: error: unrecognized arguments: --no_such_flag 1
"""
NO_DATA = """\
                    INFO     mean ar error (without repeats): train_util.py:1074
                             0
                    WARNING  ignore subset with               train_util.py:2132
                             image_dir='/home/user/pictures/o
                             f/my/dog/in/the/garden': no
                             images found /
                             画像が見つからないためサブセット
                    INFO     0 train images with repeats.     train_util.py:2158
                    ERROR    No data found. Please verify   train_network.py:576
                             arguments (train_data_dir must
                             be the parent of folders with
                             images) /
                             画像がありません。引数指定を確
                             認してください
"""
OUT_OF_MEMORY = """\
steps:   0%|          | 0/200 [00:00<?, ?it/s]Traceback (most recent call last):
  File "/home/user/musubi-tuner/zimage_train_network.py", line 4, in <module>
    main()
  File "/home/user/musubi/.venv/lib/python3.11/site-packages/torch/nn/modules/linear.py", line 125, in forward
    return F.linear(input, self.weight, self.bias)
torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.50 GiB. GPU 0 has a total capacity of 23.53 GiB of \
which 1.12 GiB is free.
steps:   0%|          | 0/200 [00:07<?, ?it/s]
"""
NAN_BAR = "steps: 100%|██████████| 14/14 [00:12<00:00,  1.14it/s, avr_loss=nan]"
GOOD_BAR = "steps: 100%|██████████| 14/14 [00:06<00:00,  2.13it/s, avr_loss=1.2]"
