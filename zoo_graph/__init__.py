"""A graph of pretrained models, datasets and results that answers: which model should I fine-tune on my data?"""
