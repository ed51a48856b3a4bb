"""SimSiam: each view predicts the other, which stands still.

Legend of shape suffixes: N places, D features.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

BOTTLENECK = 4  # the predictor's hidden layer is narrower by this, as in the paper, section 3


class SimSiam(nn.Module):
    """The loss of Chen & He 2021, "Exploring Simple Siamese Representation Learning", equations 1 to 4.

    -(cos(h(a), stop(b)) + cos(h(b), stop(a))) / 2 for the features a and b of two views, normalised over the batch, and
    a predictor h of two layers. No gradient flows through what is predicted, which alone keeps features from becoming
    the same everywhere.

    Args:
        num_features: Number of features D.
    """

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.normalise = nn.BatchNorm1d(num_features, affine=False)
        hidden = num_features // BOTTLENECK
        self.predict = nn.Sequential(
            nn.Linear(num_features, hidden, bias=False),
            nn.BatchNorm1d(hidden),
            nn.ReLU(),
            nn.Linear(hidden, num_features),
        )

    def forward(self, first_ND: Tensor, second_ND: Tensor) -> Tensor:
        """The loss of N places, at least two: features of each in two views, float [N, D]; -1 where all agree."""
        first, second = self.normalise(first_ND), self.normalise(second_ND)
        return (self.disagreement(first, second) + self.disagreement(second, first)) / 2

    def disagreement(self, guessing_ND: Tensor, guessed_ND: Tensor) -> Tensor:
        """The negative cosine between what one view predicts and the other view."""
        return -F.cosine_similarity(self.predict(guessing_ND), guessed_ND.detach()).mean()
